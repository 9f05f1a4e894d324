//! Which engine executes never shows: a pair may run one of each, and each takes over from the other.

use super::scene::*;

/// Nodes that start from now on execute with `engine`.
fn choose(scene: &mut Scene, engine: &str) {
    scene.cluster.arguments = ["--engine", engine].map(str::to_owned).to_vec();
}

#[test]
fn a_pair_of_one_engine_each_agrees_and_each_takes_over_from_the_other() {
    let mut prng = seeded("a_pair_of_one_engine_each_agrees_and_each_takes_over_from_the_other");
    let mut scene = Scene::kv();
    choose(&mut scene, "interpreter");
    let mut primary = scene.cluster.primary().unwrap();
    let mut executes = ["interpreter", "translator"];
    for _ in 0..4 {
        choose(&mut scene, executes[1]);
        let mut backup = scene.protect(&mut primary);
        let load = scene.load(4, prng.next_u64());
        sleep_ms(300);
        let before = scene.await_audit(&mut primary);
        let follows = backup.status().unwrap();
        assert_eq!([before.engine.as_deref(), follows.engine.as_deref()], executes.map(Some));
        // It is not an engine compared with itself.
        for status in [&before, &follows] {
            let translates = status.engine.as_deref() == Some("translator");
            assert_eq!(status.translated.is_some_and(|share| share > 0.1), translates, "{status:?}");
        }
        kill(&mut primary);
        scene.await_primary(&mut backup, &before);
        assert!(load.verify_all(), "{}", backup.told());
        assert_clean(&load.stop(), &[&primary, &backup]);
        primary = backup;
        executes.reverse();
    }
}
