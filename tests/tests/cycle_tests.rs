//! `velodrome test`: cycle tests, as a user runs them.

use anyhow::Result;
use serde_json::Value;
use velodrome_tests::{Folder, ZOHO_INCREMENTAL};

const FIRST_LOOP: &str = include_str!("../../cycles/first_loop.yaml");
const FIRST_TESTS: &str = include_str!("../../cycles/first_loop.test.yaml");
const ZOHO_TESTS: &str = include_str!("../../cycles/zoho_incremental.test.yaml");
const ZOHO_JS: &str = include_str!("../../cycles/zoho_incremental_js.yaml");
const ZOHO_JS_TESTS: &str = include_str!("../../cycles/zoho_incremental_js.test.yaml");

fn shipped() -> Result<Folder> {
    Folder::new(
        &[
            ("first_loop.yaml", FIRST_LOOP),
            ("first_loop.test.yaml", FIRST_TESTS),
            ("zoho_incremental.yaml", ZOHO_INCREMENTAL),
            ("zoho_incremental.test.yaml", ZOHO_TESTS),
            ("zoho_incremental_js.yaml", ZOHO_JS),
            ("zoho_incremental_js.test.yaml", ZOHO_JS_TESTS),
        ],
        "connections: {zoho: {connector: zoho_crm, settings: {domain: \"${env:NOT_SET_HERE}\"}}}\n",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_cycles_pass_their_tests_the_same_each_time() -> Result<()> {
    let folder = shipped()?;
    let (code, out, err) = folder.command(&["test", "-v"]).await?;
    assert_eq!(code, 0, "{out}{err}");
    for wanted in [
        "ok      counts from one to five, one a second",
        "5 of 5 exits taken, 100%",
        "8 of 8 exits taken, 100%",
        "13 tests passed",
        "00:00:02.120  zoho_incremental  lap 2  webhook",
    ] {
        assert!(out.contains(wanted), "`{wanted}` is missing:\n{out}{err}");
    }
    assert!(err.is_empty(), "{err}");
    assert_eq!(folder.command(&["test", "-v"]).await?.1, out);
    let json = folder.command(&["test", "--json"]).await?.1;
    assert_eq!(folder.command(&["test", "--json"]).await?.1, json);
    let report: Value = serde_json::from_str(&json)?;
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&13.into(), &0.into())
    );
    let pages = &report["files"][1]["tests"][0];
    assert_eq!(pages["requests"][2]["query"]["page"], "3");
    assert_eq!(pages["elapsed_ms"], 4_300);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_expectation_is_shown_with_its_place_and_exits_with_1() -> Result<()> {
    let folder = shipped()?;
    let wrong = FIRST_TESTS.replace("laps: 5", "laps: 6");
    folder.write_cycle("first_loop.test.yaml", &wrong)?;
    let (code, out, err) = folder.command(&["test", "cycles/first_loop.yaml"]).await?;
    assert_eq!(code, 1, "{out}{err}");
    for wanted in [
        "failed  counts from one to five, one a second",
        "error[test.expected]: `laps`: expected 6, got 5",
        "--> cycles/first_loop.test.yaml:10:13",
        "10 |       laps: 6",
        "   |             ^",
        "2 tests passed, 1 failed",
    ] {
        assert!(out.contains(wanted), "`{wanted}` is missing:\n{out}{err}");
    }
    let (code, out, _) = folder
        .command(&["test", "cycles/first_loop.test.yaml", "--json"])
        .await?;
    let report: Value = serde_json::from_str(&out)?;
    let failure = &report["files"][0]["tests"][0]["failures"][0];
    assert_eq!(code, 1);
    assert_eq!(
        (&failure["code"], &failure["line"], &failure["column"]),
        (&"test.expected".into(), &10.into(), &13.into())
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exits_that_no_test_takes_are_named() -> Result<()> {
    let tests = "coverage: 80%\ntests: {ends at once: {body: {page: 5}}}\n";
    let folder = Folder::new(
        &[
            ("first_loop.yaml", FIRST_LOOP),
            ("first_loop.test.yaml", tests),
        ],
        "",
    )?;
    let (code, out, err) = folder.command(&["test"]).await?;
    assert_eq!(code, 1, "{out}{err}");
    for wanted in [
        "2 of 5 exits taken, 40%; never: `enough` then → pause, `pause` then → next_page, `next_page` then → end",
        "error[test.coverage]: the tests take 2 of 5 exits, 40%: less than 80%",
        "first_loop.test.yaml:1:11",
    ] {
        assert!(out.contains(wanted), "`{wanted}` is missing:\n{out}{err}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_exits_with_3_and_no_file_with_2() -> Result<()> {
    let bad = "tests:\n  a:\n    body: {page: 1}\n    answers: {paus: {}}\n";
    let folder = Folder::new(
        &[
            ("first_loop.yaml", FIRST_LOOP),
            ("first_loop.test.yaml", bad),
        ],
        "",
    )?;
    for command in ["test", "check"] {
        let (code, out, err) = folder.command(&[command]).await?;
        assert_eq!(code, 3, "{command}: {out}{err}");
        for wanted in [
            "error[test.unknown_step]",
            "first_loop.test.yaml:4:15",
            "did you mean `pause`?",
        ] {
            assert!(err.contains(wanted), "`{wanted}` is missing:\n{out}{err}");
        }
    }
    for command in ["test", "check"] {
        let (code, _, err) = folder.command(&[command, "cycles"]).await?;
        assert_eq!(code, 3, "{command} of a folder: {err}");
        assert!(
            err.contains("first_loop.test.yaml:4:15"),
            "{command} of a folder: {err}"
        );
    }
    // A cycle that does not check cannot be tested.
    folder.write_cycle("first_loop.test.yaml", FIRST_TESTS)?;
    folder.write_cycle(
        "first_loop.yaml",
        &FIRST_LOOP.replace("then: enough", "then: enoug"),
    )?;
    let (code, out, err) = folder.command(&["test"]).await?;
    assert_eq!(code, 3, "{out}{err}");
    assert!(err.contains("first_loop.yaml:"), "{err}");
    // Tests without a cycle.
    let alone = Folder::new(&[("x.test.yaml", "tests: {a: {}}\n")], "")?;
    let (code, _, err) = alone.command(&["test"]).await?;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("test.no_cycle"), "{err}");
    let none = Folder::new(&[("first_loop.yaml", FIRST_LOOP)], "")?;
    assert_eq!(none.command(&["test"]).await?.0, 2);
    assert_eq!(
        none.command(&["test", "cycles/first_loop.yaml"]).await?.0,
        3
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_and_check_take_test_files_for_no_cycles() -> Result<()> {
    let folder = shipped()?;
    let (code, out, err) = folder.command(&["check"]).await?;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("3 cycles and 3 test files checked"), "{out}");
    let folder = Folder::new(
        &[
            ("first_loop.yaml", FIRST_LOOP),
            ("first_loop.test.yaml", FIRST_TESTS),
        ],
        "",
    )?;
    let server = folder.serve().await?;
    let cycles = server.get("/cycles").await?;
    assert_eq!(
        cycles["items"].as_array().map(Vec::len),
        Some(1),
        "{cycles}"
    );
    assert!(
        !server.log_text().contains("was not taken"),
        "{}",
        server.log_text()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_of_thirty_days_takes_no_time() -> Result<()> {
    let cycle = FIRST_LOOP.replace("for: 1 second", "for: 30 days");
    let tests = "tests: {months pass: {body: {page: 1}, expect: {laps: 5, elapsed: 120 days}}}\n";
    let folder = Folder::new(
        &[
            ("first_loop.yaml", cycle.as_str()),
            ("first_loop.test.yaml", tests),
        ],
        "",
    )?;
    // Building it, where it is not there yet, is no part of the time.
    velodrome_tests::velodrome();
    let test = folder.command(&["test"]);
    let (code, out, err) = tokio::time::timeout(std::time::Duration::from_secs(60), test).await??;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("5 laps   120 d"), "{out}");
    Ok(())
}
