//! The calls that look into an incident: suspicious orders, offenders, analysis.

use super::Answer::{Json, Problem};
use super::{Caller, NOTHING, Operation};
use crate::http::code::Code;

type Parameter = (&'static str, &'static str, bool, &'static str);

const SINCE: Parameter =
    ("since", "integer", false, "from then on, Unix milliseconds; absent: an hour before the end");
const UNTIL: Parameter = ("until", "integer", false, "before then; absent: now");
const PRODUCT: Parameter = ("product", "string", false, "of this product alone");
const PATTERN: Parameter = (
    "pattern",
    "string",
    false,
    "bursts, shared_fingerprint, one_network, sequential_users or shared_address; absent: any of them",
);
const BURST_ORDERS: Parameter = (
    "burst_orders",
    "integer",
    false,
    "bursts: orders within a second from one network or fingerprint (10)",
);
const FINGERPRINT_BUYERS: Parameter =
    ("fingerprint_buyers", "integer", false, "shared_fingerprint: different buyers (5)");
const NETWORK_BUYERS: Parameter = (
    "network_buyers",
    "integer",
    false,
    "one_network: different buyers in an IPv4 /24 or IPv6 /48 (10)",
);
const ADDRESS_BUYERS: Parameter = (
    "address_buyers",
    "integer",
    false,
    "shared_address: different buyers at an IPv4 address or in an IPv6 /64 (5)",
);
const SERIES_IDS: Parameter =
    ("series_ids", "integer", false, "sequential_users: ids in a row (5)");
const SERIES_GAP: Parameter =
    ("series_gap", "integer", false, "sequential_users: how far one id may be from the next (3)");

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "incidentOrders",
        path: "/admin/incident/orders",
        summary: "Suspicious orders, with why they are; or, if a user, buyer, address, network or fingerprint is named, all orders from there",
        caller: Caller::Viewer,
        query: &[
            SINCE,
            UNTIL,
            PRODUCT,
            PATTERN,
            ("user", "string", false, "of this user, of whatever shop"),
            ("buyer", "string", false, "of this buyer, by the pseudonym"),
            (
                "address",
                "string",
                false,
                "from this IPv4 address or IPv6 /64, in clear or by the pseudonym",
            ),
            (
                "network",
                "string",
                false,
                "from this IPv4 /24 or IPv6 /48, in clear or by the pseudonym",
            ),
            ("fingerprint", "string", false, "with this fingerprint, in clear or by the pseudonym"),
            ("limit", "integer", false, "at most so many, up to 10,000 (100)"),
            ("after", "string", false, "the `next` of the page before"),
            BURST_ORDERS,
            FINGERPRINT_BUYERS,
            NETWORK_BUYERS,
            ADDRESS_BUYERS,
            SERIES_IDS,
            SERIES_GAP,
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "SuspiciousOrders",
                example: r#"{"orders":[{"orderId":"3f2b8a90-1c4d-8e5f-a6b7-c8d9e0f1a2b3","productId":"iphone-15","at":1764000000000,"status":"confirmed","buyer":"0f1e2d3c4b5a69788796a5b4c3d2e1f0","address":"address-0f1e2d3c4b5a6978","network":"network-78695a4b3c2d1e0f","fingerprint":"fingerprint-8796a5b4c3d2e1f0","shows":[{"pattern":"shared_fingerprint","mark":"fingerprint-8796a5b4c3d2e1f0","count":40}]}],"matched":1,"lookedAt":40,"complete":true,"next":null}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::EvidenceUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "incidentOffenders",
        path: "/admin/incident/offenders",
        summary: "Whom orders and refusals come from, the most first: addresses, networks, fingerprints, buyers",
        caller: Caller::Viewer,
        query: &[
            SINCE,
            UNTIL,
            PRODUCT,
            ("limit", "integer", false, "of each kind, up to 1,000 (20)"),
            BURST_ORDERS,
            FINGERPRINT_BUYERS,
            NETWORK_BUYERS,
            ADDRESS_BUYERS,
            SERIES_IDS,
            SERIES_GAP,
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Offenders",
                example: r#"{"offenders":{"address":[],"buyer":[],"fingerprint":[],"network":[{"key":"network-78695a4b3c2d1e0f","orders":40,"buyers":40,"refusals":1200,"firstAt":1764000000000,"lastAt":1764000060000,"standsOut":true}]},"complete":true}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::EvidenceUnavailable),
        ],
        ..NOTHING
    },
    Operation {
        id: "incidentAnalysis",
        path: "/admin/incident/analysis",
        summary: "Attempts over time by what came of them, and what each rule alone would have caught",
        caller: Caller::Viewer,
        query: &[
            SINCE,
            UNTIL,
            PRODUCT,
            PATTERN,
            BURST_ORDERS,
            FINGERPRINT_BUYERS,
            NETWORK_BUYERS,
            ADDRESS_BUYERS,
            SERIES_IDS,
            SERIES_GAP,
        ],
        answers: &[
            Json {
                code: Code::Ok,
                schema: "Analysis",
                example: r#"{"since":1764000000000,"until":1764000060000,"product":"iphone-15","orders":60,"suspicious":40,"patterns":{"bursts":0,"one_network":40,"sequential_users":0,"shared_address":0,"shared_fingerprint":40},"stepMs":1000,"steps":[{"at":1764000000000,"suspicious":40,"cameTo":{"accepted":60,"blocked":1200}}],"rules":[{"rule":"fingerprint_per_second","value":2,"source":null,"caught":31,"collateral":0},{"rule":"block","value":null,"source":"network-78695a4b3c2d1e0f","caught":40,"collateral":1}],"lookedAt":90,"complete":true}"#,
            },
            Problem(Code::InvalidRequest),
            Problem(Code::UnknownProduct),
            Problem(Code::Conflict),
            Problem(Code::Busy),
            Problem(Code::EvidenceUnavailable),
        ],
        ..NOTHING
    },
];
