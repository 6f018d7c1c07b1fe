//! What the log promises, on a broker.

use super::rig::*;
use crate::keys::records::NONCE_BYTES;
use crate::keys::seal::tests::test_pair;
use crate::log::kafka::message::{NONCE_HEADER, VOUCHER_HEADER, partition_of};
use crate::log::kafka::{StartError, check_topic};
use crate::log::tests::{keys, on_a_thread, opened, order_id, product, reversed};
use crate::log::{Append, NotAppended};
use crate::sale::record::{CapacityTarget, KeyFingerprints};
use crate::sale::{Outcome, Record};
use crate::snapshot::Snapshot;

fn other_keys() -> KeyFingerprints {
    KeyFingerprints { order: "other".into(), buyer: "other".into() }
}

#[test]
fn records_are_read_back_decided_and_followed_by_all_nodes() {
    let rig = Rig::new();
    let (one, two) = (rig.node(), rig.node());
    on_a_thread(async {
        let (first, second) = (one.handle(), two.handle());
        let opening = decide(&first, opened("shoe", 100)).await;
        assert_eq!((opening.outcome, opening.offset), (Outcome::Applied, 0));
        two.wait_until("the opening at the other node", |log| !log.applied().products().is_empty());
        let mut waiting = Vec::new();
        for n in 1..=150 {
            let handle = if n % 2 == 0 { &first } else { &second };
            waiting.push(handle.append(rig.proposed("shoe", n, n)).unwrap());
        }
        let mut confirmed = 0;
        for undecided in waiting {
            let decided = undecided.await.unwrap();
            confirmed += u32::from(decided.outcome == Outcome::Confirmed);
            assert!(decided.log_time_ms.abs_diff(rig.clock.unix_ms()) < 60_000);
        }
        // Rule 1, and rule 5: demand was more than capacity.
        assert_eq!(confirmed, 100);
    });
    two.wait_until("the same heads", |log| log.heads() == one.log.heads());
    let sold = two.log.applied().with_state(&product("shoe"), |state| state.sold());
    assert_eq!(sold, Some(100));
    assert_eq!(one.log.counters().records, 151);
    assert_eq!(one.log.counters().waiting + two.log.counters().waiting, 0);
}

#[test]
fn a_node_starts_from_a_snapshot_and_goes_on() {
    let rig = Rig::new();
    let node = rig.node();
    let early = on_a_thread(async {
        let handle = node.handle();
        decide(&handle, opened("shoe", 10)).await;
        decide(&handle, rig.proposed("shoe", 1, 1)).await;
        let early = node.snapshot();
        decide(&handle, rig.proposed("shoe", 2, 2)).await;
        decide(&handle, opened("boot", 10)).await;
        early
    });
    let (heads, late) = (node.log.heads(), node.snapshot());
    node.log.stop();
    for snapshot in [Snapshot::default(), early, late] {
        let again = rig.node_from(snapshot).unwrap();
        assert_eq!(again.log.heads(), heads);
        assert!(again.log.applied().find_order(&order_id(2)).is_some());
        assert!(again.log.applied().end_seen_us() > 0);
        let digest = heads[0].digest;
        assert_eq!(again.log.digest_at(0, heads[0].next_offset), Some(digest));
        again.log.stop();
    }
}

#[test]
fn a_snapshot_that_does_not_belong_to_the_log_is_refused() {
    let (rig, other) = (Rig::new(), Rig::new());
    let fill = |rig: &Rig, records: u32| {
        let node = rig.node();
        on_a_thread(async {
            let handle = node.handle();
            decide(&handle, opened("shoe", 10)).await;
            for n in 1..records {
                decide(&handle, rig.proposed("shoe", n, n)).await;
            }
        });
        node.snapshot()
    };
    let (here, _) = (fill(&rig, 3), fill(&other, 2));
    let refused = |rig: &Rig, snapshot: Snapshot| match rig.node_from(snapshot) {
        Err(error) => error,
        Ok(_) => panic!("the snapshot was taken"),
    };
    let ends = refused(&other, here.clone());
    assert!(matches!(ends, StartError::EndsBeforeSnapshot { .. }), "{ends}");
    let handle = other.node();
    on_a_thread(async {
        decide(&handle.handle(), other.proposed("shoe", 3, 3)).await;
    });
    let record = refused(&other, here.clone());
    assert!(record.to_string().contains("do not belong together"), "{record}");
    let mut fewer = here.clone();
    fewer.heads.pop();
    let partitions = refused(&rig, fewer);
    assert!(matches!(partitions, StartError::SnapshotPartitions { .. }), "{partitions}");
    let mut altered = here;
    let place = partition_of(&product("shoe"), PARTITIONS) as usize;
    altered.heads[place].last_outcome = "sold_out".into();
    let record = refused(&rig, altered);
    assert!(record.to_string().contains("do not belong together"), "{record}");
}

/// Rules 1 and 3 against somebody who may write to Kafka but holds none of our keys.
#[test]
fn what_nobody_vouches_for_changes_nothing_and_the_partition_goes_on() {
    let rig = Rig::new();
    let (node, other) = (rig.node(), rig.node());
    let partition = partition_of(&product("shoe"), PARTITIONS);
    let capacity = Record::CapacityChanged {
        to: CapacityTarget::Total(1_000_000),
        operation: "raise".parse().unwrap(),
    };
    let (forged, nonce, mac) =
        (capacity.encode(), [0; NONCE_BYTES], [&b"mk1:"[..], &[0; 32]].concat());
    let vouched: &[(&str, &[u8])] = &[(NONCE_HEADER, &nonce), (VOUCHER_HEADER, &mac)];
    // The name of a header is whatever its bytes are.
    let bad_name = bad_name();
    let odd: &[(&str, &[u8])] = &[(&bad_name, &nonce), (VOUCHER_HEADER, &mac)];
    let good = Raw { partition, key: b"shoe", value: &forged, headers: vouched };
    let forgeries = [
        good,
        Raw { headers: &[], ..good },
        Raw { headers: odd, ..good },
        Raw { partition: (partition + 1) % 3, ..good },
        Raw { key: b"", ..good },
        Raw { key: b"\xff", value: b"", ..good },
        Raw { value: &[b'x'; 100_000], ..good },
    ];
    on_a_thread(async {
        let handle = node.handle();
        decide(&handle, opened("shoe", 1)).await;
        rig.send_raw(&forgeries);
        decide(&handle, rig.proposed("shoe", 1, 1)).await;
        assert_eq!(decide(&handle, rig.proposed("shoe", 2, 2)).await.outcome, Outcome::SoldOut);
    });
    node.wait_until("all forgeries", |log| log.counters().undecodable == forgeries.len() as u64);
    other.wait_until("the same heads", |log| log.heads() == node.log.heads());
    let capacity = node.log.applied().with_state(&product("shoe"), |state| state.terms().capacity);
    assert_eq!(capacity, Some(1));
    // And a start from the beginning comes to the same.
    assert_eq!(rig.node().log.heads(), node.log.heads());
}

/// A header's name that is no text at all.
fn bad_name() -> String {
    // SAFETY: the client library only takes its address and length.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }
}

#[test]
fn operators_records_are_written_only_where_their_key_is() {
    let rig = Rig::new();
    let with = rig.node();
    let without = rig.start(Snapshot::default(), keys(), false).unwrap();
    on_a_thread(async {
        let (with, without) = (with.handle(), without.handle());
        let refused = without.append(opened("shoe", 1)).err();
        assert_eq!(refused, Some(NotAppended::NoOperatorKey));
        assert_eq!(decide(&with, opened("shoe", 1)).await.outcome, Outcome::Applied);
        decide(&without, rig.proposed("shoe", 1, 1)).await;
        let refused = without.append(reversed("shoe", 1)).err();
        assert_eq!(refused, Some(NotAppended::NoOperatorKey));
        assert_eq!(decide(&with, reversed("shoe", 1)).await.outcome, Outcome::Applied);
    });
    assert_eq!(without.log.counters().waiting, 0);
}

/// One misconfigured node with operators' rights must not stop the others. (That they do not serve its sale is
/// tested with the whole program.)
#[test]
fn a_node_goes_on_and_follows_a_sale_under_other_keys() {
    let rig = Rig::new();
    let node = rig.node();
    let odd = rig.start(Snapshot::default(), other_keys(), true).unwrap();
    on_a_thread(async {
        let (handle, odd_handle) = (node.handle(), odd.handle());
        assert_eq!(decide(&odd_handle, opened("shoe", 1)).await.outcome, Outcome::Applied);
        // The record says which keys: `opened` says those of `node`, so it is the odd one to whom it is odd.
        let first = decide(&handle, rig.proposed("shoe", 1, 1)).await;
        assert_eq!(first.outcome, Outcome::Confirmed);
        assert_eq!(decide(&odd_handle, opened("boot", 1)).await.outcome, Outcome::Applied);
    });
    for other in [&node, &odd] {
        other.wait_until("the same heads", |log| log.heads() == node.log.heads());
        assert!(other.fatal.lock().is_none());
    }
    let again = rig.start(Snapshot::default(), other_keys(), true).unwrap();
    assert_eq!(again.log.heads(), node.log.heads());
}

#[test]
fn a_topic_that_could_lose_orders_is_refused_with_words_on_how_to_mend_it() {
    let bare = Rig::with_settings(&[
        ("retention.ms", "604800000"),
        ("message.timestamp.type", "CreateTime"),
    ]);
    let why = bare.node_from(Snapshot::default()).err().unwrap().to_string();
    for setting in ["retention.ms", "message.timestamp.type", "kafka-configs.sh"] {
        assert!(why.contains(setting), "{why}");
    }
    let mut rig = Rig::new();
    assert_eq!(check_topic(&rig.config, TIMEOUT).unwrap(), []);
    rig.config.kafka.partitions = 7;
    let why = rig.node_from(Snapshot::default()).err().unwrap().to_string();
    assert!(why.contains("it has 3 partitions, kafka.partitions is 7"), "{why}");
    let nowhere = Rig::without_topic();
    let why = nowhere.node_from(Snapshot::default()).err().unwrap().to_string();
    assert!(why.contains("does not exist"), "{why}");
    let faults = check_topic(&nowhere.config, TIMEOUT).unwrap();
    assert!(faults[0].what.contains("does not exist"));
}

#[test]
fn partitions_that_are_added_end_the_log() {
    let rig = Rig::new();
    let node = rig.node();
    rig.admin.add_partitions(&rig.config.kafka.topic, 4);
    let why = node.wait_for_fatal();
    assert!(why.contains("has 4 partitions instead of 3"), "{why}");
    on_a_thread(async {
        let refused = node.handle().append(rig.proposed("shoe", 1, 1)).err();
        assert_eq!(refused, Some(NotAppended::Stopped));
    });
}

#[test]
fn a_topic_that_is_made_anew_ends_the_log() {
    let rig = Rig::new();
    let node = rig.node();
    on_a_thread(async {
        decide(&node.handle(), opened("shoe", 1)).await;
    });
    rig.admin.delete(&rig.config.kafka.topic);
    rig.admin.create(&rig.config.kafka.topic, &SETTINGS);
    node.wait_for_fatal();
}

/// The client library would read on in the new topic as if it were the old one.
#[test]
fn a_topic_that_is_made_anew_and_filled_further_ends_the_log() {
    let rig = Rig::new();
    let node = rig.node();
    on_a_thread(async {
        decide(&node.handle(), opened("shoe", 1)).await;
    });
    let partition = partition_of(&product("shoe"), PARTITIONS);
    let raw = Raw { partition, key: b"shoe", value: b"", headers: &[] };
    rig.admin.delete(&rig.config.kafka.topic);
    rig.admin.create(&rig.config.kafka.topic, &SETTINGS);
    rig.send_raw(&[raw; 5]);
    node.wait_for_fatal();
}

#[test]
fn a_topic_that_is_deleted_ends_the_log() {
    let rig = Rig::new();
    let node = rig.node();
    rig.admin.delete(&rig.config.kafka.topic);
    let why = node.wait_for_fatal();
    assert!(why.contains("gone"), "{why}");
    rig.admin.create(&rig.config.kafka.topic, &SETTINGS);
}

#[test]
fn user_ids_are_sealed_on_their_way() {
    let rig = Rig::new();
    let node = rig.node();
    let found = on_a_thread(async {
        let handle = node.handle();
        decide(&handle, opened("shoe", 1)).await;
        decide(&handle, rig.proposed("shoe", 1, 77)).await;
        rig.read_all()
    });
    // Rule 7.
    assert!(!found.iter().any(|value| String::from_utf8_lossy(value).contains("user-77")));
    let Ok(Record::OrderProposed(proposal)) = Record::decode(&found[1]) else {
        panic!("the second record is the proposal");
    };
    let sealed = proposal.sealed_user.unwrap();
    let user = test_pair().1.open(&sealed, &product("shoe"), &order_id(1)).unwrap();
    assert_eq!(user.as_str(), "user-77");
}

/// How long a record takes, and how many go through in a second; told, not judged.
#[test]
fn figures() {
    let rig = Rig::new();
    let node = rig.node();
    let appends: Vec<Append> = (1..=60_000).map(|n| rig.proposed("shoe", n, n)).collect();
    on_a_thread(async {
        let handle = node.handle();
        decide(&handle, opened("shoe", 1_000_000)).await;
        let begun = rig.clock.monotonic_us();
        for append in &appends[..200] {
            decide(&handle, append.clone()).await;
        }
        let each_us = (rig.clock.monotonic_us() - begun) / 200;
        let begun = rig.clock.monotonic_us();
        for burst in appends[200..].chunks(2_000) {
            let waiting: Vec<_> =
                burst.iter().map(|append| handle.append(append.clone()).unwrap()).collect();
            for undecided in waiting {
                undecided.await.unwrap();
            }
        }
        let took_us = rig.clock.monotonic_us() - begun;
        let per_second = (appends.len() as u64 - 200) * 1_000_000 / took_us;
        println!(
            "one after the other: {each_us} us each; in bursts of 2000: {per_second} a second"
        );
    });
}
