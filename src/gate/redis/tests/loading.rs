//! The library's keeper: the worker's part.

use super::library::{LibraryKeeper, Looked, NAME, SOURCE, VERSION, load_library};
use super::*;

#[test]
fn a_missing_or_older_library_is_loaded_and_a_later_one_is_left() {
    on_a_serving_thread(|| async {
        let server = Server::bare();
        let url = SecretString::from(server.url());
        let mut keeper = LibraryKeeper::new(&url, None).unwrap();
        assert_eq!(keeper.look().await.unwrap(), Looked::Loaded);
        assert_eq!(keeper.look().await.unwrap(), Looked::Present);
        let versioned = |version: u64| {
            let line = format!("local VERSION = {VERSION}\n");
            SOURCE.replace(&line, &format!("local VERSION = {version}\n"))
        };
        server.load(&versioned(VERSION + 1));
        assert_eq!(keeper.look().await.unwrap(), Looked::Later);
        server.load(&versioned(VERSION - 1));
        assert_eq!(load_library(&url, None).await.unwrap(), Looked::Loaded);
        assert_eq!(server.run_command::<u64>(&["FCALL", "fg_version", "0"]), VERSION);
    });
}

#[test]
fn a_lost_library_is_back_within_five_seconds_and_nodes_sell_on_meanwhile() {
    on_a_serving_thread(|| async {
        let server = Server::start();
        let node = Node::up(&server, PATIENT).await;
        node.decide(1, 100, []);
        let keeper = LibraryKeeper::new(&SecretString::from(server.url()), None).unwrap();
        let worker = tokio::task::spawn_local(keeper.run());
        server.run_command::<()>(&["FUNCTION", "DELETE", NAME]);
        let lost = Instant::now();
        assert_eq!(node.admit(1).await, Verdict::Go);
        assert!(!node.gate.is_up());
        assert_eq!(node.admit(2).await, Verdict::Go);
        node.wait_up().await;
        assert!(lost.elapsed() < Duration::from_secs(5), "{:?}", lost.elapsed());
        assert_eq!(node.admit(3).await, Verdict::Go);
        assert_eq!(node.gate.counts().went, 1);
        worker.abort();
    });
}

#[test]
fn a_node_does_not_ask_an_older_library() {
    on_a_serving_thread(|| async {
        let server = Server::bare();
        server
            .load(&SOURCE.replace(&format!("local VERSION = {VERSION}\n"), "local VERSION = 0\n"));
        let node = Node::start(options(&server.url(), PATIENT));
        node.decide(1, 1, []);
        until("a connection", || node.handle.is_connected()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!node.gate.is_up());
        assert_eq!(node.admit(1).await, Verdict::Go);
        assert_eq!(node.gate.counts().calls, 0);
    });
}
