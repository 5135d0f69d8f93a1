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

#[tokio::test(flavor = "multi_thread")]
async fn init_makes_a_folder_whose_loop_runs_and_leaves_what_is_there() -> Result<()> {
    let folder = Folder::new(&[], "")?;
    std::fs::write(folder.path().join(".gitignore"), "target/")?;
    let (code, out, err) = folder.command(&["init"]).await?;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("made   cycles/hello.yaml"), "{out}");
    assert!(
        out.contains("left   velodrome.yaml"),
        "its settings were there: {out}"
    );
    let ignored = std::fs::read_to_string(folder.path().join(".gitignore"))?;
    assert_eq!(ignored, "target/\ndata/\n");
    let (code, out, err) = folder.command(&["init"]).await?;
    assert_eq!(code, 0, "{err}");
    assert!(
        !out.contains("made"),
        "a second time there is nothing to make: {out}"
    );
    let (code, out, err) = folder.command(&["check"]).await?;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, out, err) = folder.command(&["test"]).await?;
    assert_eq!(code, 0, "{out}{err}");
    let server = folder.serve().await?;
    let (code, out, err) = server
        .folder()
        .command(&["trigger", "hello", "--follow"])
        .await?;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("loop succeeded: 3 laps"), "{out}");

    let fresh = tempfile::tempdir()?;
    let new = fresh.path().join("new");
    let name = new.to_string_lossy().into_owned();
    let (code, out, _) = server.folder().command(&["init", &name]).await?;
    assert_eq!(code, 0);
    assert!(out.contains("made   velodrome.yaml"), "{out}");
    let settings = new.join("velodrome.yaml").to_string_lossy().into_owned();
    let (code, _, err) = server.folder().command(&["check", &settings]).await?;
    assert_eq!((code, err.as_str()), (0, ""));
    std::fs::write(fresh.path().join("file"), "")?;
    let taken = fresh.path().join("file").to_string_lossy().into_owned();
    let (code, _, err) = server.folder().command(&["init", &taken]).await?;
    assert_eq!(code, 1);
    assert!(err.contains("cannot be made"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_is_drawn_in_three_languages() -> Result<()> {
    let folder = Folder::new(
        &[("zoho_incremental.yaml", velodrome_tests::ZOHO_INCREMENTAL)],
        "",
    )?;
    std::fs::remove_file(folder.path().join("velodrome.yaml"))?;
    for (format, part) in [
        ("mermaid", "flowchart TD"),
        ("dot", "digraph \"zoho_incremental\""),
        ("svg", "id=\"step-contacts\""),
    ] {
        let arguments = ["graph", "zoho_incremental", "--format", format];
        let (code, out, err) = folder.command(&arguments).await?;
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(part), "{out}");
    }
    let (code, out, _) = folder
        .command(&["graph", "cycles/zoho_incremental.yaml", "--json"])
        .await?;
    assert_eq!(code, 0);
    let drawn: serde_json::Value = serde_json::from_str(&out)?;
    assert_eq!(drawn["nodes"].as_array().map(Vec::len), Some(6));
    let (code, _, err) = folder.command(&["graph", "nothing"]).await?;
    assert_eq!(code, 3);
    assert!(err.contains("there are zoho_incremental"), "{err}");
    folder.write_cycle(
        "bad.yaml",
        "cycle: bad\nsteps:\n  webhook: {use: generic_webhook.webhok}\n",
    )?;
    let (code, _, err) = folder.command(&["graph", "bad"]).await?;
    assert_eq!(code, 3);
    assert!(err.contains("connector.unknown_method"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_completions_and_man_are_printed() -> Result<()> {
    let folder = Folder::new(&[], "")?;
    for file in ["cycle", "velodrome"] {
        let (code, out, _) = folder.command(&["schema", file]).await?;
        assert_eq!(code, 0);
        let schema: serde_json::Value = serde_json::from_str(&out)?;
        assert_eq!(
            schema["$schema"],
            "https://json-schema.org/draft/2020-12/schema"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = folder.command(&["completions", shell]).await?;
        assert_eq!(code, 0);
        assert!(out.contains("trigger"), "{shell}");
    }
    let (code, out, _) = folder.command(&["man"]).await?;
    assert_eq!(code, 0);
    assert!(out.contains(".TH velodrome"), "{out}");
    let (code, _, _) = folder.command(&["man", "--dir", "man"]).await?;
    assert_eq!(code, 0);
    assert!(folder.path().join("man/velodrome-run-retry.1").is_file());
    Ok(())
}
