//! The binary as a shell sees it: what it prints where, and the code it exits with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A cycle that needs no account: two laps with a delay between them.
const LOOP: &str = "\
cycle: two_laps
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true}
    then: enough
  enough:
    use: decision
    if: {left: \"${webhook.page}\", is: less_than, right: 2}
    then: pause
  pause:
    use: delay
    for: DELAY
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: 2}
";

fn folder(cycles: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("cycles")).unwrap();
    for (name, text) in cycles {
        std::fs::write(folder.path().join("cycles").join(name), text).unwrap();
    }
    folder
}

fn velodrome(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_velodrome"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    for name in [
        "VELODROME_CONFIG",
        "VELODROME_SERVER",
        "VELODROME_TOKEN_FILE",
        "VELODROME_LISTEN",
        "VELODROME_DATA",
        "VELODROME_CYCLES",
        "VELODROME_SERVICE_URL",
    ] {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = velodrome(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A server that ends with the test.
struct Server(Child);

impl Server {
    /// Starts one on this folder and waits until it says that it serves.
    fn start(folder: &Path) -> Self {
        let mut child = velodrome(folder, &["serve"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !told.contains("velodrome serves") {
            assert_ne!(lines.read_line(&mut told).unwrap(), 0, "it ended: {told}");
        }
        // Whatever it says further must not block it.
        std::thread::spawn(move || lines.lines().count());
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with the loop and a port of its own.
fn served(delay: &str) -> TempDir {
    let folder = folder(&[("two_laps.yaml", &LOOP.replace("DELAY", delay))]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!("listen: {}\n", free.local_addr().unwrap());
    std::fs::write(folder.path().join("velodrome.yaml"), settings).unwrap();
    folder
}

#[test]
fn check_says_how_many_are_good() {
    let one = folder(&[("a.yaml", &LOOP.replace("DELAY", "1 second"))]);
    let (code, out, err) = run(one.path(), &["check"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "1 cycle checked, all good\n"),
        "{err}"
    );
    let (code, out, _) = run(one.path(), &["check", "--json"]);
    assert_eq!((code, out.as_str()), (0, "[]\n"));
}

#[test]
fn check_refuses_what_is_not_there_and_what_is_there_twice() {
    let text = LOOP.replace("DELAY", "1 second");
    let two = folder(&[("a.yaml", &text), ("b.yaml", &text)]);
    let (code, out, err) = run(two.path(), &["check"]);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(
        err.contains("error[cycle.duplicate]: `./cycles/b.yaml`"),
        "{err}"
    );
    assert!(err.contains("error: 1 error in 2 files"), "{err}");
    let (code, out, _) = run(two.path(), &["check", "--json"]);
    assert_eq!(code, 3);
    assert!(out.contains("\"code\": \"cycle.duplicate\""), "{out}");
    let (code, _, err) = run(two.path(), &["check", "cycles/c.yaml"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("`cycles/c.yaml` cannot be read"), "{err}");
}

#[test]
fn check_reads_the_settings_too() {
    let folder = folder(&[]);
    let write = |text: &str| std::fs::write(folder.path().join("velodrome.yaml"), text).unwrap();
    write("listen: 127.0.0.1:7300\n");
    let (code, out, _) = run(folder.path(), &["check", "velodrome.yaml"]);
    assert_eq!((code, out.as_str()), (0, "1 file checked, all good\n"));
    write("lisen: 127.0.0.1:7300\n");
    let (code, _, err) = run(folder.path(), &["check"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("velodrome.yaml:1:1"), "{err}");
    write("connections:\n  zoho:\n    connector: zoho_crn\n");
    let (code, _, err) = run(folder.path(), &["check"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("there is no connector `zoho_crn`"), "{err}");
}

#[test]
fn wrong_settings_keep_serve_from_starting() {
    let folder = folder(&[]);
    let check = |arguments: &[&str], expect: i32, wanted: &str| {
        let (code, _, err) = run(folder.path(), arguments);
        assert_eq!(code, expect, "{arguments:?}: {err}");
        assert!(err.contains(wanted), "{arguments:?}: {err}");
    };
    check(&["serve", "--service-url", "flows"], 3, "`service_url` is");
    check(&["serve", "--cycles", "nowhere"], 3, "no cycles folder");
    check(&["serve", "--log-format", "xml"], 2, "possible values");
    check(
        &["--config", "no.yaml", "serve"],
        3,
        "`no.yaml` cannot be read",
    );
}

#[test]
fn nothing_is_destroyed_unasked() {
    let folder = served("0 ms");
    let _server = Server::start(folder.path());
    for arguments in [
        ["cycle", "stop", "two_laps"],
        ["cycle", "purge", "two_laps"],
        ["loop", "stop", "last"],
    ] {
        let (code, _, err) = run(folder.path(), &arguments);
        assert_eq!(code, 2, "{arguments:?}: {err}");
        assert!(err.contains("--yes"), "{arguments:?}: {err}");
    }
    let (code, out, _) = run(folder.path(), &["cycle", "stop", "two_laps", "--yes"]);
    assert_eq!((code, out.as_str()), (0, "two_laps is stopped\n"));
    let (code, _, err) = run(folder.path(), &["trigger", "two_laps", r#"{"page": 1}"#]);
    assert_eq!(code, 1);
    assert!(err.contains("error[cycle.stopped]"), "{err}");
}

#[test]
fn endings_have_their_codes() {
    let folder = served("0 ms");
    let (code, _, err) = run(folder.path(), &["cycle", "list"]);
    assert_eq!(code, 4, "{err}");
    let _server = Server::start(folder.path());
    let wrong = folder.path().join("wrong.token");
    std::fs::write(&wrong, "vdt_wrong").unwrap();
    let check = |arguments: &[&str], expect: i32, wanted: &str| {
        let (code, out, err) = run(folder.path(), arguments);
        assert_eq!(code, expect, "{arguments:?}: {out}{err}");
        assert!(err.contains(wanted), "{arguments:?}: {err}");
    };
    check(&["cycle", "list"], 0, "");
    check(
        &["cycle", "list", "--token-file", "wrong.token"],
        5,
        "error[api.unauthenticated]",
    );
    check(&["cycle", "show", "nope"], 1, "error[cycle.unknown]");
    check(&["cycle", "show", "../status"], 1, "error[cycle.unknown]");
    check(&["run", "list", "--since", "soon"], 2, "`since`");
    check(
        &["trigger", "two_laps", r#"{"page": "x"}"#],
        1,
        "error[webhook.field_invalid]",
    );
    check(&["trigger", "two_laps", "{page: 1}"], 2, "not JSON");
    check(&["trigger", "nope"], 1, "error[webhook.unknown]");
}

#[test]
fn following_survives_a_kill_of_the_server() {
    let folder = served("1500 ms");
    let server = Server::start(folder.path());
    let mut following = velodrome(
        folder.path(),
        &["trigger", "two_laps", r#"{"page": 1}"#, "--follow"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let mut told = String::new();
    let mut lines = BufReader::new(following.stdout.take().unwrap());
    while !told.contains(" pause ") {
        assert_ne!(lines.read_line(&mut told).unwrap(), 0, "it ended: {told}");
    }
    drop(server);
    let _server = Server::start(folder.path());
    while lines.read_line(&mut told).unwrap() > 0 {}
    assert_eq!(following.wait().unwrap().code(), Some(0), "{told}");
    for once in [
        "lap 1  webhook",
        "→ lap 2",
        "lap 2  webhook",
        "loop succeeded: 2 laps",
    ] {
        assert_eq!(told.matches(once).count(), 1, "`{once}` in:\n{told}");
    }
    assert!(
        told.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains("loop succeeded"),
        "{told}"
    );
}

#[test]
fn a_reader_that_has_enough_ends_the_command_quietly() {
    let folder = folder(&[]);
    let mut demo = velodrome(folder.path(), &["demo", "--delay", "0s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(demo.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let ended = demo.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn the_demo_ends_with_one_document_for_programs() {
    let folder = folder(&[]);
    let (code, out, err) = run(
        folder.path(),
        &["demo", "--records", "401", "--delay", "0s", "--json"],
    );
    assert_eq!(code, 0, "{err}");
    let last = out.lines().last().unwrap();
    assert!(
        last.starts_with(
            r#"{"pages":3,"records":401,"exactly_once":true,"missed":0,"repeated":0,"#
        ),
        "{last}"
    );
}

#[test]
fn a_demo_without_contacts_is_one_page() {
    let folder = folder(&[]);
    let (code, out, err) = run(folder.path(), &["demo", "--records", "0", "--delay", "0s"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("1 page, 0 records, each exactly once"),
        "{out}"
    );
}
