//! The habits of this repository that a machine can check. Each test names every offender at once, so that one run is enough to mend
//! them all. A rule may be loosened only here, in the open, with its reason.

use ringline_tidy::{ProjectFile, project_files};

/// Lines a source file may have. Longer files hold more than one subject.
const LINES_MAX: usize = 500;

/// Source files that may be longer, each with its reason. Empty, and meant to stay so.
const LONG_FILES_ALLOWED: [&str; 0] = [];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "misc", "shared", "stuff"];

/// Top-level directories of a developer's machine. A path below one of them in a tracked file works on that machine only.
const MACHINE_ROOTS: [&str; 5] = ["home", "Users", "root", "work", "mnt"];

#[test]
fn the_walk_sees_the_repository() {
    let files = project_files();
    for expected in ["Cargo.toml", "package.json", "crates/tidy/src/lib.rs", "bindings/index.ts"] {
        assert!(files.iter().any(|file| file.path == expected), "the walk missed {expected}");
    }
}

#[test]
fn no_source_file_is_too_long() {
    let offenders = offenders(|file, text| {
        let lines = text.lines().count();
        let long = file.is_source() && lines > LINES_MAX && !LONG_FILES_ALLOWED.contains(&file.path.as_str());
        long.then(|| format!("{lines} lines, {LINES_MAX} allowed: split it by subject"))
    });
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn no_name_is_empty_of_meaning() {
    let offenders = offenders(|file, _| {
        let empty = |part: &str| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part));
        file.path.split('/').any(empty).then(|| "name the subject instead".to_owned())
    });
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let offenders = offenders(|_, text| {
        let place = MACHINE_ROOTS.iter().find_map(|root| machine_path(text, root))?;
        Some(format!("names {place}: build the path from the file's own place or a variable"))
    });
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn every_source_file_says_what_it_is() {
    let offenders = offenders(|file, text| {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        let opens = ["//", "/*", "# ", "\"\"\""].iter().any(|opening| first.starts_with(opening));
        let exempt = !file.is_source() || text.trim().is_empty();
        (!exempt && !opens).then(|| "open with a paragraph: what the file owns, what it may not do".to_owned())
    });
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn no_lockfile_names_where_packages_came_from() {
    let offenders = offenders(|file, text| {
        let names_source = file.path.ends_with("package-lock.json") && text.contains("\"resolved\": \"http");
        names_source.then(|| "set omit-lockfile-registry-resolved=true and write it again".to_owned())
    });
    assert!(offenders.is_empty(), "{}", offenders.join("\n"));
}

#[test]
fn a_path_is_seen_only_where_one_starts() {
    assert_eq!(machine_path("see /ho\u{6d}e/ann/x", "home"), Some(concat!("/", "home/ann").to_owned()));
    assert_eq!(machine_path("src/home/page", "home"), None);
    assert_eq!(machine_path("https://x.example/home/page", "home"), None);
    assert_eq!(machine_path("/homeless/x", "home"), None);
}

/// Runs a rule over every text file and tells the offenders, one per line.
fn offenders(rule: impl Fn(&ProjectFile, &str) -> Option<String>) -> Vec<String> {
    let tell = |file: ProjectFile| {
        let reason = rule(&file, file.text.as_deref()?)?;
        Some(format!("{}: {reason}", file.path))
    };
    project_files().into_iter().filter_map(tell).collect()
}

/// The first absolute path below `/root/` in `text`, where `root` is its first part; `None` when there is none.
fn machine_path(text: &str, root: &str) -> Option<String> {
    let start = format!("/{root}/");
    text.match_indices(&start).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let starts_here = before.is_none_or(|c| c.is_whitespace() || "\"'`(=:,<".contains(c));
        let rest: String =
            text[at + start.len()..].chars().take_while(|c| c.is_alphanumeric() || "._-".contains(*c)).collect();
        (starts_here && !rest.is_empty()).then(|| format!("{start}{rest}"))
    })
}
