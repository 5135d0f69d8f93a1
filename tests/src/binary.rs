//! What the tests run, built once.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of the `velodrome` binary, of the profile that the tests were built with.
///
/// # Panics
///
/// If it does not build.
pub fn velodrome() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        build(&["--package", "velodrome-cli", "--bin", "velodrome"]).join("velodrome")
    })
}

/// The path of the library that makes disk and clock fail.
pub(crate) fn fault_library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build(&["--package", "velodrome-faults"]).join("libvelodrome_faults.so"))
}

/// Builds it, and gives the folder it is in.
fn build(what: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/<profile>/deps/<test>, or target/<profile>/<binary>
    let folder = test
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("tests are built below target")
        .to_owned();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet"]).args(what);
    // What cargo told this test of itself: build scripts that look at it would run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&*name);
        }
    }
    if folder.ends_with("release") {
        build.arg("--release");
    }
    let status = build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "{what:?} does not build");
    folder
}
