//! The gate as the user `api`, the library as `loader`, and nothing beyond. Rule 1 rests on neither.

use std::path::Path;

use super::library::{Looked, load_library};
use super::*;

/// What `deploy/redis/users.acl` grants, for a tree without it.
const RULES: [&str; 2] = [
    "user api on >PASSWORD resetkeys ~product:* ~rate:* ~room:* resetchannels -@all +fcall +time +get +set +pttl \
     +decr +zadd +zmscore +zrem +zcard +zremrangebyscore +hget +hmget +hset +hdel +pexpire",
    "user loader on >PASSWORD resetkeys resetchannels -@all +function|load +function|list",
];

/// The shipped rules, with passwords that the test knows.
fn rules() -> Vec<String> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/redis/users.acl");
    let Ok(text) = std::fs::read_to_string(shipped) else {
        return RULES.map(str::to_owned).to_vec();
    };
    let with_password = |word: &str| match word.starts_with("#{{") {
        true => ">PASSWORD".to_owned(),
        false => word.to_owned(),
    };
    text.lines()
        .filter(|line| line.starts_with("user api ") || line.starts_with("user loader "))
        .map(|line| line.split(' ').map(with_password).collect::<Vec<_>>().join(" "))
        .collect()
}

fn url_of(user: &str, server: &Server) -> String {
    format!("redis://{user}:PASSWORD@127.0.0.1:{}", server.port)
}

#[test]
fn api_screens_and_loader_loads_and_neither_can_do_more() {
    on_a_serving_thread(|| async {
        let server = Server::bare();
        let rules = rules();
        assert_eq!(rules.len(), 2, "{rules:?}");
        for rule in &rules {
            let words: Vec<&str> = rule.split_whitespace().skip(1).collect();
            server.run_command::<()>(&[&["ACL", "SETUSER"], words.as_slice()].concat());
        }
        let loader = SecretString::from(url_of("loader", &server));
        assert_eq!(load_library(&loader, None).await.unwrap(), Looked::Loaded);

        let node = Node::start(Options {
            rates: Rates { product: Rate::per_second(1_000, 2), ..Rates::default() },
            ..options(&url_of("api", &server), PATIENT)
        });
        node.decide(1, 5, []);
        node.wait_up().await;
        assert_eq!(node.admit(1).await, Verdict::Go);
        server.run_command::<()>(&["FLUSHALL"]);
        assert_eq!(node.admit(2).await, Verdict::Go);
        server.run_command::<()>(&["SET", "product:{phone}:pending", "forged"]);
        node.decide(2, 4, [1, 2]);
        until("hint = left", || server.hint() == Some(4) && server.pending() == 0).await;
        assert!(node.gate.is_up());
        assert_eq!(node.gate.counts().errors, 0);
        let refused: Vec<redis::Value> = server.run_command(&["ACL", "LOG"]);
        assert!(refused.is_empty(), "all that it does it may do: {refused:?}");

        for (user, words) in [
            ("api", &["FUNCTION", "LOAD", "REPLACE", library::SOURCE][..]),
            ("api", &["FUNCTION", "DELETE", "flux_gate"]),
            ("api", &["FLUSHALL"]),
            ("api", &["CONFIG", "GET", "*"]),
            ("api", &["EVAL", "return 1", "0"]),
            ("api", &["KEYS", "*"]),
            ("api", &["SET", "other", "1"]),
            ("loader", &["FCALL", "fg_version", "0"]),
            ("loader", &["FUNCTION", "FLUSH"]),
            ("loader", &["GET", "product:{phone}:stock"]),
        ] {
            let client = redis::Client::open(url_of(user, &server)).unwrap();
            let mut connection = client.get_connection().unwrap();
            let mut command = redis::cmd(words[0]);
            let error = command.arg(&words[1..]).exec(&mut connection).unwrap_err();
            assert_eq!(error.code(), Some("NOPERM"), "{user}: {words:?}: {error}");
        }
    });
}
