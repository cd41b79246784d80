// Compiled, never run: what the public types promise about the version.

import { version } from 'ringline'

version() satisfies string

// @ts-expect-error: the version is not a number
version() satisfies number
