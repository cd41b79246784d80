//! Reads the repository for its own tests: which files are the project's, and what they say. It owns the walk over the tree and may
//! not judge; the rules are the tests under `tests/`.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no source of ours: build output, installed packages, version control.
const SKIPPED_DIRECTORIES: [&str; 9] =
    [".git", ".cache", "bin", "target", "node_modules", "dist", "dist-test", "dist-benchmark", "results"];

/// Files that a tool writes and no one edits.
const GENERATED_FILES: [&str; 3] = ["index.d.ts", "bindings/native/binding.cjs", "bindings/native/binding.d.cts"];

/// One file of the project.
#[derive(Debug)]
pub struct ProjectFile {
    /// Path from the repository root, with `/` between its parts.
    pub path: String,
    /// The whole text, or `None` for a file that is not UTF-8 (a picture, a built library).
    pub text: Option<String>,
}

impl ProjectFile {
    /// Whether this is hand-written code in one of the project's languages.
    #[must_use]
    pub fn is_source(&self) -> bool {
        let extension = Path::new(&self.path).extension().and_then(|e| e.to_str()).unwrap_or_default();
        ["rs", "ts", "mts", "js", "mjs", "c", "py"].contains(&extension) && !self.is_generated()
    }

    /// Whether a tool writes this file.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        GENERATED_FILES.contains(&self.path.as_str())
    }
}

/// The root of the repository this crate was compiled in.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("crates/tidy lies two levels below the root")
}

/// Every file of the repository, in a stable order.
///
/// # Panics
///
/// When a directory of the repository cannot be read: a rule that silently saw fewer files would be no rule.
#[must_use]
pub fn project_files() -> Vec<ProjectFile> {
    let root = repository_root();
    let mut files = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the repository is readable") {
            let entry = entry.expect("a directory entry is readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().expect("a directory entry has a type");
            if kind.is_dir() && !SKIPPED_DIRECTORIES.contains(&name.as_str()) {
                pending.push(entry.path());
            } else if kind.is_file() && name != ".git" {
                files.push(read_file(&root, &entry.path()));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read_file(root: &Path, path: &Path) -> ProjectFile {
    let relative = path.strip_prefix(root).expect("the walk stays below the root");
    let bytes = fs::read(path).expect("a file of the repository is readable");
    ProjectFile { path: relative.to_string_lossy().replace('\\', "/"), text: String::from_utf8(bytes).ok() }
}
