//! The binary under test, built once.

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
        let test = std::env::current_exe().expect("a test has a path");
        // target/<profile>/deps/<test>, or target/<profile>/<binary>
        let folder = test
            .ancestors()
            .skip(1)
            .find(|folder| !folder.ends_with("deps"))
            .expect("tests are built below target")
            .to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "velodrome-cli",
            "--bin",
            "velodrome",
        ]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the velodrome binary does not build");
        folder.join("velodrome")
    })
}
