/**
 * `node:util` for whatever is loaded when the package is imported. Node has loaded it before anything else, and hands it out as it is; an
 * import statement would make a module of it first, export by export, which takes as long as a third of this package.
 */

export const { getSystemErrorMap, inspect, types } = process.getBuiltinModule('node:util')
