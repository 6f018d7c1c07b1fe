//! Reversal of many orders: each once, whatever is repeated, crosses or crashes.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn body(orders: &[String], restock: bool) -> Value {
    json!({"product": "phone", "orders": orders, "restock": restock, "reason": "fraud"})
}

const PATH: &str = "/admin/incident/reverse";

impl Rig {
    /// How often each order stands as reversed in the ledger.
    pub(super) fn reversed(&self) -> BTreeMap<String, u32> {
        let mut reversed = BTreeMap::new();
        let mut after = 0;
        loop {
            let path = format!("/admin/orders?product=phone&limit=1000&after={after}");
            let page = operator(self.server.operator, ADMIN_TOKEN, "GET", &path, "", None).json();
            for order in page["orders"].as_array().unwrap() {
                if order["status"] == "reversed" {
                    let id = order["orderId"].as_str().unwrap().to_owned();
                    *reversed.entry(id).or_default() += 1;
                }
            }
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => return reversed,
            }
        }
    }

    /// Reversal records in the log that took effect.
    fn applied_reversals(&self) -> u64 {
        let path = "/admin/audit?kind=operator_result";
        let mut count = 0;
        let mut after = 0;
        loop {
            let path = format!("{path}&after={after}");
            let page = operator(self.server.operator, ADMIN_TOKEN, "GET", &path, "", None).json();
            let lines = page["events"].as_array().unwrap().iter();
            let applied = lines.filter(|line| {
                line["fields"]["what"] == "order_reversed" && line["fields"]["outcome"] == "applied"
            });
            count += applied.count() as u64;
            match page["next"].as_u64() {
                Some(next) => after = next,
                None => return count,
            }
        }
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_the_reversal_then_does() {
    let rig = Rig::start("");
    rig.sale("phone", 10);
    let mut orders = rig.orders("phone", 0..6);
    rig.post(PATH, &body(&orders[..1], false));
    assert_eq!(rig.product("phone")["capacity"], 9, "without its unit");
    orders.push("7f0c2f63-9d0e-8b34-9c55-0f7a3d1c6a10".to_owned());
    orders.push(orders[2].clone());
    let mut asked = body(&orders, true);
    asked["dryRun"] = true.into();
    let would = rig.post(PATH, &asked).json();
    let counts = |of: &Value| {
        ["matched", "reversed", "already", "unknown"].map(|name| of[name].as_u64().unwrap())
    };
    assert_eq!((counts(&would), &would["dryRun"]), ([7, 5, 1, 1], &json!(true)), "{would}");
    assert_eq!(rig.product("phone")["sold"], 5);
    let done = rig.post(PATH, &body(&orders, true)).json();
    assert_eq!(counts(&done), [7, 5, 1, 1], "{done}");
    assert_eq!(done["orders"].as_array().unwrap().len(), 5);
    let now = rig.product("phone");
    assert_eq!((&now["sold"], &now["remaining"]), (&json!(0), &json!(9)), "{now}");
    assert_eq!(counts(&rig.post(PATH, &body(&orders, true)).json()), [7, 0, 6, 1]);
    assert_eq!(rig.product("phone"), now, "again it changes nothing");
    // An order of another sale is not one of this.
    rig.sale("shoe", 5);
    let other = rig.orders("shoe", 0..1);
    assert_eq!(counts(&rig.post(PATH, &body(&other, true)).json()), [1, 0, 0, 1]);
    assert_eq!(rig.product("shoe")["sold"], 1);
}

#[test]
fn operators_who_reverse_the_same_orders_at_once_reverse_each_once() {
    let rig = Rig::start("");
    rig.sale("phone", 1_000);
    let orders = rig.orders("phone", 0..300);
    let reversed: Vec<u64> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..4).map(|_| scope.spawn(|| rig.post(PATH, &body(&orders, true)).json())).collect();
        let counts = calls.into_iter().map(|call| {
            let done = call.join().unwrap();
            let sum = done["reversed"].as_u64().unwrap() + done["already"].as_u64().unwrap();
            assert_eq!(sum, 300, "{done}");
            done["reversed"].as_u64().unwrap()
        });
        counts.collect()
    });
    assert_eq!(reversed.iter().sum::<u64>(), 300, "{reversed:?}");
    let now = rig.product("phone");
    assert_eq!((&now["sold"], &now["capacity"]), (&json!(0), &json!(1_000)), "{now}");
    assert!(rig.reversed().values().all(|count| *count == 1));
}

#[test]
fn a_reversal_that_crashes_half_way_is_made_again_and_each_order_is_reversed_once() {
    let mut rig = Rig::start("");
    rig.sale("phone", 5_000);
    let orders = rig.orders("phone", 0..1_200);
    let mut crashes = 0;
    for wait_ms in [15, 30, 45] {
        let (operator_at, asked) = (rig.server.operator, body(&orders, true).to_string());
        let call = std::thread::spawn(move || {
            let draft = Draft::new("POST", PATH, asked)
                .set("authorization", format!("Bearer {ADMIN_TOKEN}"));
            exchange(operator_at, None, &draft.bytes()).ok().flatten().map(|answer| answer.status)
        });
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        rig = rig.crash();
        crashes += u32::from(call.join().unwrap().is_none());
        let so_far = rig.reversed().len();
        println!("killed after {wait_ms} ms: {so_far} of {} reversed", orders.len());
    }
    assert!(crashes > 0, "it was cut off at least once");
    let before = rig.reversed().len() as u64;
    let done = rig.post(PATH, &body(&orders, true)).json();
    assert_eq!(done["already"], before, "{done}");
    assert_eq!(done["reversed"], 1_200 - before, "{done}");
    let now = rig.product("phone");
    assert_eq!((&now["sold"], &now["capacity"]), (&json!(0), &json!(5_000)), "{now}");
    assert_eq!(rig.reversed().len(), 1_200);
    assert!(rig.applied_reversals() <= 1_200, "none took effect twice");
}

#[test]
fn units_of_a_reversal_wait_for_one_approval_and_the_orders_do_not() {
    let hash = |token: &str| {
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()))
    };
    let (alice, bob) = ("alice-token-0123456789", "bob-token-0123456789");
    let rig = Rig::start(&format!(
        "[admin]\napprovals = \"units\"\ntokens = [\n\
         {{ name = \"alice\", role = \"operator\", token_sha256 = \"{}\" }},\n\
         {{ name = \"bob\", role = \"operator\", token_sha256 = \"{}\" }},\n]\n",
        hash(alice),
        hash(bob)
    ));
    rig.sale("phone", 20);
    let orders = rig.orders("phone", 0..10);
    let by = |token: &str, path: &str, body: &Value| {
        operator(rig.server.operator, token, "POST", path, &body.to_string(), None)
    };
    let mut asked = body(&orders[..4], true);
    asked["operation"] = "fraud-71".into();
    let first = by(alice, PATH, &asked);
    assert_eq!(first.summary(), "202 approval_required", "{}", first.text());
    assert_eq!(
        (&first.json()["reversed"], &first.json()["approval"]),
        (&json!(4), &json!("fraud-71"))
    );
    let now = rig.product("phone");
    assert_eq!(
        (&now["sold"], &now["capacity"]),
        (&json!(6), &json!(16)),
        "not one unit more: {now}"
    );
    // The rest of it, and all of it again: one approval.
    asked["orders"] = json!(orders[..7]);
    let second = by(alice, PATH, &asked);
    assert_eq!((second.status, &second.json()["reversed"]), (202, &json!(3)), "{}", second.text());
    let again = by(alice, PATH, &asked);
    assert_eq!((again.status, &again.json()["already"]), (202, &json!(7)));
    let path = "/admin/approvals";
    let waiting = operator(rig.server.operator, bob, "GET", path, "", None).json();
    assert_eq!(waiting["approvals"].as_array().unwrap().len(), 1, "{waiting}");
    let approve = "/admin/approvals/fraud-71/approve";
    assert_eq!(by(alice, approve, &json!({})).summary(), "403 forbidden");
    assert_eq!(rig.product("phone")["capacity"], 13);
    let approved = by(bob, approve, &json!({}));
    assert_eq!(approved.summary(), "200 applied", "{}", approved.text());
    let now = rig.product("phone");
    assert_eq!((&now["sold"], &now["capacity"]), (&json!(3), &json!(20)), "all seven units: {now}");
    // Without restock nobody is asked.
    let plain = by(alice, PATH, &body(&orders[7..8], false));
    assert_eq!(plain.summary(), "200 done", "{}", plain.text());
    assert_eq!(rig.product("phone")["capacity"], 19);
}

#[test]
fn the_command_shows_what_it_would_do_asks_and_takes_a_file() {
    let rig = Rig::start("");
    rig.sale("phone", 3_000);
    let orders = rig.orders("phone", 0..1_100);
    let file = rig.dir.path().join("fraud.txt");
    std::fs::write(&file, format!("# ticket 71\n{}\n", orders.join("\n"))).unwrap();
    let file = file.to_str().unwrap();
    let reverse = |more: &[&str]| {
        let arguments = ["reverse", "--product", "phone", "--orders-file", file, "--restock"];
        let arguments = [&arguments[..], &["--reason", "fraud"], more].concat();
        says(rig.server.operator, rig.dir.path(), &arguments)
    };
    let (done, said) = reverse(&["--dry-run"]);
    assert!(done && said.contains("1100 orders of phone: 1100 would be taken back"), "{said}");
    assert!(said.contains("and 1090 more"), "{said}");
    let (done, said) = reverse(&[]);
    assert!(!done && said.contains("there is no terminal to ask on"), "{said}");
    assert_eq!(rig.product("phone")["sold"], 1_100);
    let (done, said) = reverse(&["--yes"]);
    assert!(done && said.contains("1100 taken back, 0 before, 0 unknown"), "{said}");
    assert!(said.contains("sold: 1100 before, 0 now"), "{said}");
    let (done, said) = reverse(&["--yes", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap_or_default();
    assert!(done, "{said}");
    assert_eq!((&told["reversed"], &told["already"]), (&json!(0), &json!(1_100)), "{said}");
}
