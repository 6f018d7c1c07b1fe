//! The bot score and its challenges: whoever is asked tries to get around it.
//!
//! The first server is strict, so that every script is asked; the second has the thresholds of a shop whose page
//! sends fingerprints and solves challenges. Beside each attack the honest way must work.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Attack, Draft, Got, Target};
use crate::attack::client::Shopper;

/// Users of a farm: enough for every count of theirs.
const FARM: usize = 200;
const ASKED: &str = "403 challenge_required";

pub const ATTACKS: &[Attack] = &[
    Attack::on_ours("challenge reused for a second attempt", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let first = t.send(&scene.order("k-1", Some(&scene.solved)))?;
        let again = t.send(&scene.order("k-2", Some(&scene.solved)))?;
        let twice = scene.order("k-3", None).add("x-challenge", &scene.solved);
        let twice = t.send(&twice.add("x-challenge", &scene.solved))?;
        let sold = t.must_have_sold(&scene.product, 1)?;
        Ok(asked(&again).and(asked(&twice)).and(Got::refused(&first, 200, "success")).and(sold))
    }),
    Attack::on_ours("challenge solved for another buyer", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let other = t.shopper()?;
        let draft =
            Draft::order(&scene.product, &other.user, "k-1").set("x-challenge", &scene.solved);
        let answer = t.send(&draft.sign(&other.signer, t.now_ms()))?;
        // In the other's name with one's own pass.
        let named =
            Draft::order(&scene.product, &other.user, "k-1").set("x-challenge", &scene.solved);
        let named = t.send(&named.sign(&scene.shopper.signer, t.now_ms()))?;
        Ok(asked(&answer).and(Got::refused(&named, 403, "user_mismatch")).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("challenge solved for another product", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let other = t.sale(5)?;
        let draft =
            Draft::order(&other, &scene.shopper.user, "k-1").set("x-challenge", &scene.solved);
        let answer = t.send(&draft.sign(&scene.shopper.signer, t.now_ms()))?;
        Ok(asked(&answer).and(t.must_have_sold(&other, 0)?).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("challenge spliced", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let (salt, number) = (scene.text("salt"), scene.payload["number"].to_string());
        let inner = salt.trim_end_matches('&');
        let moved = [
            (format!("{salt}{}", &number[..1]), format!("0{}", &number[1..])),
            (format!("{salt}{number}"), "0".to_owned()),
            (inner.to_owned(), number.clone()),
            (inner[..inner.len() - 1].to_owned(), format!("{}{number}", &inner[inner.len() - 1..])),
            (format!("{salt}&expires=1999999999&"), number.clone()),
        ];
        let mut all = Vec::new();
        for (salt, number) in moved {
            let number: u64 = number.parse()?;
            all.push(scene.refused(t, &[("salt", json!(salt)), ("number", json!(number))])?);
        }
        Ok(Got::all(all).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("challenge expired, and its end put off", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let salt = scene.text("salt");
        let (head, tail) = salt.split_once("expires=").unwrap_or_default();
        let end: u64 = tail.split('&').next().unwrap_or_default().parse()?;
        let later = format!("{head}expires={}{}", end + 60, &tail[end.to_string().len()..]);
        let forged = scene.refused(t, &[("salt", json!(later))])?;
        // The server lets its challenges live for 10 s.
        std::thread::sleep(std::time::Duration::from_millis(10_200));
        let late = t.send(&scene.order("k-1", Some(&scene.solved)))?;
        let fresh = Scene::new_on(t)?;
        Ok(forged.and(asked(&late)).and(fresh.sold_one(t)?))
    }),
    Attack::on_ours("challenge forged", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let made = {
            // A challenge of one's own, solved at once.
            let (salt, number) = (scene.text("salt"), 1);
            let hash = hex::encode(sha256(format!("{salt}{number}").as_bytes()));
            scene.refused(t, &[("challenge", json!(hash)), ("number", json!(number))])?
        };
        let mut all = vec![made];
        for signature in ["00".repeat(32), String::new(), "0".to_owned(), scene.text("challenge")] {
            all.push(scene.refused(t, &[("signature", json!(signature))])?);
        }
        for algorithm in ["SHA-1", "none", "sha-256", ""] {
            all.push(scene.refused(t, &[("algorithm", json!(algorithm))])?);
        }
        let easier = scene.text("salt").replace("&max=", "&max=1");
        all.push(scene.refused(t, &[("salt", json!(easier))])?);
        Ok(Got::all(all).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("number of a challenge out of range", "OAT-009", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let right = scene.payload["number"].as_u64().unwrap_or_default();
        let numbers = [
            json!(right + 1),
            json!(u64::MAX),
            json!(-1),
            json!(1e300),
            json!(right as f64 + 0.5),
            json!(right.to_string()),
            json!([right]),
            Value::Null,
        ];
        let mut all = Vec::new();
        for number in numbers {
            all.push(scene.refused(t, &[("number", number)])?);
        }
        Ok(Got::all(all).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("solutions that are none", "API4", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let nested = STANDARD.encode("[".repeat(1_500));
        let bad = ["", "e30=", "bnVsbA==", "????", &"A".repeat(2_048), &"A".repeat(9_000), &nested];
        let mut all = Vec::new();
        for solution in bad {
            all.push(asked(&t.send(&scene.order("k-1", Some(solution)))?));
        }
        Ok(Got::all(all).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("score talked down by page signals", "OAT-006", ASKED, |t| {
        let (t, scene) = Scene::new(t)?;
        let most = "t=999999999;p=999999999;k=999999999;s=999999999";
        let flood = "t=5000;p=9;".repeat(700);
        let mut all = Vec::new();
        for signals in ["t=5000;p=12", most, &flood, "t=5000;p=12;score=0", "\u{feff}t=1;p=1"] {
            let draft = scene.order("k-1", None).set("x-page-signals", signals);
            all.push(asked(&t.send(&draft)?));
        }
        let mut many = scene.order("k-1", None);
        for _ in 0..30 {
            many = many.add("x-page-signals", "t=5000;p=12");
        }
        all.push(asked(&t.send(&many)?));
        Ok(Got::all(all).and(scene.sold_one(t)?))
    }),
    Attack::on_ours("farm that drops its fingerprint", "OAT-006", ASKED, |t| farm(t, |_| None)),
    Attack::on_ours("farm that forges a fingerprint each", "OAT-006", ASKED, |t| {
        farm(t, |n| Some(format!("device-{n}")))
    }),
    Attack::on_ours("farm that shares a fingerprint", "OAT-006", "403", |t| {
        farm(t, |_| Some("device".to_owned()))
    }),
];

fn asked(answer: &crate::attack::support::wire::Answer) -> Got {
    Got::refused(answer, 403, "challenge_required")
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

/// A script that was asked for a challenge and has solved it.
struct Scene {
    product: String,
    shopper: Shopper,
    payload: Value,
    solved: String,
}

impl Scene {
    fn new(t: &Target) -> anyhow::Result<(&Target, Self)> {
        let strict = &*t.ours()?.strict;
        Ok((strict, Self::new_on(strict)?))
    }

    fn new_on(t: &Target) -> anyhow::Result<Self> {
        let (product, shopper) = (t.sale(5)?, t.shopper()?);
        let draft = Draft::order(&product, &shopper.user, "k-1").sign(&shopper.signer, t.now_ms());
        let answer = t.send(&draft)?;
        anyhow::ensure!(answer.word() == "challenge_required", "not asked: {}", answer.text());
        let payload = solve(&answer.json()["challenge"])?;
        let solved = STANDARD.encode(payload.to_string());
        Ok(Self { product, shopper, payload, solved })
    }

    fn text(&self, name: &str) -> String {
        self.payload[name].as_str().unwrap_or_default().to_owned()
    }

    fn order(&self, key: &str, solution: Option<&str>) -> Draft {
        let draft = Draft::order(&self.product, &self.shopper.user, key);
        let draft = match solution {
            Some(solution) => draft.set("x-challenge", solution),
            None => draft,
        };
        draft.sign(&self.shopper.signer, flux_gate::clock::Clock::system().unix_ms())
    }

    /// The solution with these fields in place of its own.
    fn refused(&self, t: &Target, fields: &[(&str, Value)]) -> anyhow::Result<Got> {
        let mut payload = self.payload.clone();
        for (name, value) in fields {
            payload[*name] = value.clone();
        }
        let solution = STANDARD.encode(payload.to_string());
        Ok(asked(&t.send(&self.order("k-1", Some(&solution)))?))
    }

    /// The honest way works after all.
    fn sold_one(&self, t: &Target) -> anyhow::Result<Got> {
        let answer = t.send(&self.order("k-1", Some(&self.solved)))?;
        let honest = Got::of(answer.word() == "success", format!("solved: {}", answer.summary()));
        Ok(honest.and(t.must_have_sold(&self.product, 1)?))
    }
}

/// As the widget does.
fn solve(challenge: &Value) -> anyhow::Result<Value> {
    let text = |name: &str| challenge[name].as_str().unwrap_or_default().to_owned();
    let (salt, wanted) = (text("salt"), text("challenge"));
    let most = challenge["maxnumber"].as_u64().unwrap_or_default();
    let is = |number: &u64| hex::encode(sha256(format!("{salt}{number}").as_bytes())) == wanted;
    let number = (0..=most).find(is);
    anyhow::ensure!(number.is_some(), "the challenge has no solution");
    Ok(json!({
        "algorithm": text("algorithm"), "challenge": wanted, "number": number, "salt": salt,
        "signature": text("signature"),
    }))
}

/// A farm of one kind of browser behind one address: all after the first hundred must be asked or refused, and a
/// neighbour must not.
fn farm(t: &Target, fingerprint: fn(usize) -> Option<String>) -> anyhow::Result<Got> {
    let t = &*t.ours()?.scored;
    let product = t.sale(1_000)?;
    // Loopback addresses say nothing of who it is; these come by way of a trusted proxy.
    let farm = format!("198.51.100.{}", 1 + t.now_ms() % 250);
    let send = |n: usize, from: &str| {
        let shopper = t.shopper()?;
        let mut draft = Draft::order(&product, &shopper.user, &t.unique("k"))
            .set(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .set("accept-language", "en")
            .set("accept", "*/*")
            .set("x-page-signals", "t=5000;p=9")
            .set("x-forwarded-for", from);
        if let Some(fingerprint) = fingerprint(n) {
            draft = draft.set("x-device-fingerprint", format!("{farm}-{product}-{fingerprint}"));
        }
        let draft = draft.sign(&shopper.signer, t.now_ms());
        t.send_from(Some(Ipv4Addr::new(127, 9, 1, 1)), &draft)
    };
    let mut passed_late = 0;
    for n in 0..FARM {
        let answer = send(n, &farm)?;
        if answer.status == 200 && n >= FARM * 3 / 4 {
            passed_late += 1;
        }
    }
    let last = send(FARM, &farm)?;
    let neighbour = send(FARM + 1, "203.0.113.77")?;
    let honest = Got::of(neighbour.word() == "success" || fingerprint(0) == fingerprint(1), "");
    let told = format!("{}; {passed_late} of the last {} passed", last.summary(), FARM / 4);
    Ok(Got::of(last.status == 403 && passed_late == 0, told).and(honest))
}
