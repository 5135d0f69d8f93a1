//! The command line as a new user meets it.

use anyhow::Result;
use velodrome_tests::{Folder, velodrome};

#[tokio::test(flavor = "multi_thread")]
async fn demo_pages_to_the_end_and_counts_each_record_once() -> Result<()> {
    let folder = Folder::new(&[], "")?;
    let (code, out, err) = folder
        .command(&["demo", "--records", "2500", "--delay", "0s"])
        .await?;
    assert_eq!(code, 0, "{out}{err}");
    let all = format!("{out}{err}");
    for wanted in ["13 pages", "2500 records", "exactly once", "→ lap 13"] {
        assert!(all.contains(wanted), "`{wanted}` is missing:\n{all}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_points_at_the_fault_and_exits_with_3() -> Result<()> {
    let bad = "cycle: bad\nsteps:\n  hook:\n    use: generic_webhook.webhook\n    then: nxt\n  next:\n    use: stop\n";
    let folder = Folder::new(&[("bad.yaml", bad)], "")?;
    let (code, out, err) = folder.command(&["check"]).await?;
    let all = format!("{out}{err}");
    assert_eq!(code, 3, "{all}");
    assert!(all.contains("bad.yaml:5:"), "{all}");
    assert!(all.contains('^'), "{all}");
    assert!(all.contains("did you mean `next`"), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trigger_follows_a_loop_and_the_other_commands_show_it() -> Result<()> {
    let cycle = include_str!("../../cycles/first_loop.yaml").replace("1 second", "10 ms");
    let server = Folder::new(&[("first_loop.yaml", &cycle)], "")?
        .serve()
        .await?;
    let folder = server.folder();
    let (code, out, err) = folder
        .command(&["trigger", "first_loop", r#"{"page": 1}"#, "--follow"])
        .await?;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("→ lap 2"), "{out}{err}");
    for (arguments, wanted) in [
        (vec!["cycle", "list"], "first_loop"),
        (vec!["cycle", "show", "first_loop"], "running"),
        (vec!["loop", "list"], "succeeded"),
        (vec!["loop", "show", "last"], "succeeded"),
        (vec!["run", "list"], "succeeded"),
        (vec!["run", "show", "last"], "lap"),
        (vec!["logs", "--tail", "50"], "→ lap 2"),
        (
            vec!["logs", "--tail", "50", "--json"],
            "\"event\":\"handoff.sent\"",
        ),
    ] {
        let (code, out, err) = folder.command(&arguments).await?;
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        assert!(
            out.contains(wanted),
            "{arguments:?} does not show `{wanted}`:\n{out}{err}"
        );
    }
    let (code, _, _) = folder
        .command(&["storage", "set", "generic_webhook", "k", r#"{"a": 1}"#])
        .await?;
    assert_eq!(code, 0);
    let (code, out, _) = folder
        .command(&["storage", "get", "generic_webhook", "k", "--json"])
        .await?;
    assert_eq!(
        (code, serde_json::from_str::<serde_json::Value>(&out)?),
        (0, serde_json::json!({"a": 1}))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_server_exit_with_4_and_wrong_usage_with_2() -> Result<()> {
    let folder = Folder::new(&[], "")?;
    std::fs::create_dir(folder.path().join("data"))?;
    std::fs::write(folder.path().join("data/admin.token"), "vdt_x")?;
    assert_eq!(folder.command(&["cycle", "list"]).await?.0, 4);
    assert_eq!(folder.command(&["cycle", "no-such-thing"]).await?.0, 2);
    assert!(velodrome().exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_sees_two_cycles_that_write_one_key() -> Result<()> {
    let cycle = |name: &str| {
        format!(
            "cycle: {name}\nconcurrency: 1\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
             fn after_webhook() {{ cyclr_storage_set(\"page\", 1); return true; }}\n"
        )
    };
    let folder = Folder::new(
        &[("a.yaml", &cycle("first")), ("b.yaml", &cycle("second"))],
        "",
    )?;
    let (code, _, err) = folder.command(&["check"]).await?;
    assert_eq!(code, 0, "warnings alone exit 0: {err}");
    assert_eq!(
        err.matches("warning[storage.shared_key]").count(),
        2,
        "{err}"
    );
    assert!(err.contains("is written by `second` too"), "{err}");
    Ok(())
}
