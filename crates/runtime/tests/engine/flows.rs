//! How many runs went along each edge and how many are at each step, beside what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use velodrome_runtime::api::FlowView;
use velodrome_store::Runs as _;
use velodrome_types::RunStatus;

use crate::forks::{FORK, SPLIT, Scene, items, secs};

fn flows(scene: &Scene) -> FlowView {
    let flows = scene.simulated.engine().flows(&"forked".into());
    flows.expect("the cycle is known")
}

/// What is told of each step is what is stored.
fn as_stored(scene: &Scene) {
    let mut told = BTreeMap::new();
    for step in flows(scene).steps {
        told.insert((step.step.to_string(), "running"), step.running);
        told.insert((step.step.to_string(), "waiting"), step.waiting);
    }
    told.retain(|_, runs| *runs > 0);
    let stored = scene.store.standing().expect("the store reads");
    let stored = stored.runs.into_iter();
    let stored: BTreeMap<_, _> = stored
        .map(|(_, step, status, runs)| ((step.to_string(), status.as_str()), runs))
        .collect();
    assert_eq!(told, stored);
}

/// The edges that runs went along, as `from exit to`.
fn taken(scene: &Scene) -> BTreeMap<String, u64> {
    let edges = flows(scene).edges.into_iter();
    edges
        .filter(|edge| edge.runs > 0)
        .map(|edge| {
            let to = edge
                .to
                .map_or_else(|| "end".to_owned(), |to| to.to_string());
            (format!("{} {} {to}", edge.step, edge.exit), edge.runs)
        })
        .collect()
}

fn counts<const N: usize>(of: [(&str, u64); N]) -> BTreeMap<String, u64> {
    of.map(|(edge, runs)| (edge.to_owned(), runs)).into()
}

#[test]
fn a_fork_counts_a_run_for_each_of_its_branches() {
    let scene = Scene::new(FORK);
    scene.post("{}".into(), secs(10));
    as_stored(&scene);
    assert!(flows(&scene).counted);
    let both = [
        ("webhook then quick", 1),
        ("webhook then pause", 1),
        ("quick then end", 1),
    ];
    assert_eq!(taken(&scene), counts(both));
    let pause = |scene: &Scene| {
        let steps = flows(scene).steps;
        let pause = steps.into_iter().find(|step| step.step.as_str() == "pause");
        let pause = pause.expect("it has one");
        (pause.running, pause.waiting)
    };
    assert_eq!(pause(&scene), (0, 1));

    let scene = scene.crash();
    scene.until(secs(20));
    assert_eq!(pause(&scene), (0, 1), "the store tells where it was");
    assert_eq!(taken(&scene), counts([]), "counted since the start");
    scene.until(secs(2 * 3600));
    assert_eq!(pause(&scene), (0, 0));
    as_stored(&scene);
    let after = [("pause then slow", 1), ("slow then end", 1)];
    assert_eq!(taken(&scene), counts(after));
}

#[test]
fn every_moment_of_a_long_split_tells_what_is_stored() {
    let mut scene = Scene::new(SPLIT);
    scene.post(items(300), Duration::from_millis(3));
    for ms in [4, 7, 12, 13, 20, 27] {
        scene.until(Duration::from_millis(ms));
        as_stored(&scene);
        if ms == 13 {
            scene = scene.crash();
            scene.until(Duration::from_millis(13));
            as_stored(&scene);
        }
    }
    scene.until(secs(60));
    as_stored(&scene);
    let steps = flows(&scene).steps;
    assert!(steps.iter().all(|step| step.running + step.waiting == 0));
}

#[test]
fn a_split_counts_a_run_for_each_item_and_failures_stand_with_their_step() {
    let scene = Scene::new(SPLIT);
    scene.refuse(&["/1"]);
    scene.post(items(3), secs(10));
    let all = [
        ("webhook then list", 1),
        ("list then ask", 3),
        ("ask then end", 2),
    ];
    assert_eq!(taken(&scene), counts(all));
    let failed = |scene: &Scene| {
        let steps = flows(scene).steps.into_iter();
        let failed = steps.filter(|step| step.failed > 0);
        let failed = failed.map(|step| (step.step.to_string(), step.failed));
        failed.collect::<Vec<_>>()
    };
    // The item's run, and for it the one that began it.
    assert_eq!(failed(&scene), [("list".into(), 1), ("ask".into(), 1)]);
    scene.refuse(&[]);
    let run = scene.runs(&[RunStatus::Failed]).into_iter();
    let mut asked = run.filter(|run| run.step.as_ref().is_some_and(|step| step.as_str() == "ask"));
    scene.retry(asked.next().expect("it failed").id, secs(20));
    as_stored(&scene);
    assert_eq!(taken(&scene)["ask then end"], 3);
}
