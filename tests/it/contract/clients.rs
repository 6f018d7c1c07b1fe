//! The clients of `examples/clients`, as a shop's engineer would run them: each buys, and each asks again.

use std::process::Command;

use super::*;

/// What a program needs to run: without it the test fails and says so, since a missing one is no success.
const PROGRAMS: [(&str, &str); 3] =
    [("sh", "order.sh"), ("node", "order.mjs"), ("python3", "order.py")];

#[test]
fn every_example_of_a_client_buys_and_gets_the_same_order_again() {
    let gate = Gate::start("");
    gate.init("phone", 10);
    for (program, file) in PROGRAMS {
        let user = format!("by-{program}");
        let buy = || -> Value {
            let mut command = Command::new(program);
            command
                .arg(format!("{}/examples/clients/{file}", env!("CARGO_MANIFEST_DIR")))
                .args(["phone", &user, &format!("http://{}", gate.server.public)])
                .env("FLUX_GATE_CLIENT", "shop:shop-secret-0123456789abcdef")
                .env("IDEMPOTENCY_KEY", format!("key-of-{program}"));
            let output = command.output().unwrap_or_else(|error| {
                panic!("{program} is needed to try examples/clients/{file}: {error}")
            });
            let said = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            serde_json::from_str(&said)
                .unwrap_or_else(|error| panic!("{file}: {error}: {said}{complained}"))
        };
        let (first, again) = (buy(), buy());
        assert_eq!(first["status"], "success", "{file}: {first}");
        assert_eq!(again["status"], "ignored", "{file}: {again}");
        assert_eq!(first["orderId"], again["orderId"], "{file}");
    }
}
