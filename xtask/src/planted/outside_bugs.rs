//! Bugs of waiting rooms, draws and challenges, each with the test that must fail with it.

use super::bugs::Bug;

const QUEUE: &str = "room/queue.rs";
const ROOMS: &str = "room/rooms.rs";
const CALLS: &str = "http/room/calls.rs";
const FORM: &str = "http/room/form.rs";
const GUARD: &str = "guard/room.rs";
const CHALLENGE: &str = "guard/challenge.rs";

const TICKET: &str = "contract::room::a_ticket_is_good_for_its_buyer_its_product_and_once";
const AROUND: &str = "contract::room::there_is_no_way_around_the_room";
const UNITS: &str = "contract::room::no_more_are_admitted_than_units_are_left";
const DRAW: &str =
    "contract::room::early_arrivals_are_drawn_admitted_and_buy_and_the_draw_verifies";
const VALUE: &str = "contract::room::the_public_value_comes_after_the_root_and_before_the_seed";
const BY_FORM: &str = "contract::room::without_a_script_the_queue_is_seen_and_a_form_buys_once";
const RATE: &str = "contract::room::guarded::no_more_are_let_in_than_the_rate_allows";
const ORDER: &str = "contract::room::guarded::the_early_are_let_in_in_the_order_of_the_draw";
const SERVICE: &str =
    "contract::room::guarded::a_solution_that_comes_with_a_form_is_held_against_the_service";
const SOLUTIONS: &str = "challenge::no_other_solution_passes";
const EXPIRY: &str = "challenge::a_challenge_expires";

/// Each with the test, by its whole name in `tests/it`.
pub const OUTSIDE_BUGS: &[(Bug, &str)] = &[
    // Tickets and admissions.
    (
        Bug {
            name: "a ticket of the room is not marked as spent",
            file: QUEUE,
            find: "        self.finish(number, State::Spent);\n",
            replace: "",
        },
        TICKET,
    ),
    (
        Bug {
            name: "a ticket of the room is good for any buyer",
            file: CALLS,
            find: "if ticket.buyer != shopper.buyer {",
            replace: "if ticket.buyer != shopper.buyer && shopper.expired {",
        },
        TICKET,
    ),
    (
        Bug {
            name: "a ticket of the room is good for any product",
            file: CALLS,
            find: "Some(Some(ticket)) if ticket.product == product => Some(ticket),",
            replace: "Some(Some(ticket)) => Some(ticket),",
        },
        TICKET,
    ),
    (
        Bug {
            name: "a ticket of the room needs no signature",
            file: "room/ticket.rs",
            find: "verify_slices_are_equal(expected.as_ref(), &mac).ok()?;",
            replace: "verify_slices_are_equal(expected.as_ref(), &mac).unwrap_or_default();",
        },
        TICKET,
    ),
    (
        Bug {
            name: "an admission to one room opens every other",
            file: GUARD,
            find: "if admission == Some(*product) ||",
            replace: "if admission.is_some() ||",
        },
        AROUND,
    ),
    (
        Bug {
            name: "an admission to a room outlives its time",
            file: GUARD,
            find: "expires_ms: until_ms,",
            replace: "expires_ms: until_ms + 60_000,",
        },
        UNITS,
    ),
    (
        Bug {
            name: "a room lets in more than units are left",
            file: QUEUE,
            find: " && admitted < most\n",
            replace: " && admitted <= most\n",
        },
        UNITS,
    ),
    (
        Bug {
            name: "a room lets in faster than its rate",
            file: QUEUE,
            find: "        self.credit.spend(let_in.into());\n",
            replace: "",
        },
        RATE,
    ),
    // The draw.
    (
        Bug {
            name: "a room serves by arrival, whatever was drawn",
            file: QUEUE,
            find: "permutation.number(place).unwrap_or(place),",
            replace: "permutation.number(place).map_or(place, |_| place),",
        },
        ORDER,
    ),
    (
        Bug {
            name: "the root of a draw is without the last entrant",
            file: ROOMS,
            find: "self.tree = Tree::over((0..).zip(self.queue.early()).map(leaf).collect());",
            replace: "let mut leaves: Vec<_> = (0..).zip(self.queue.early()).map(leaf).collect();
                leaves.pop();
                self.tree = Tree::over(leaves);",
        },
        DRAW,
    ),
    (
        Bug {
            name: "the seed of a draw is told before the public value is there",
            file: ROOMS,
            find: "(self.source.is_empty() || self.public_value.is_some())",
            replace: "(self.source.is_empty() || self.public_value.is_none())",
        },
        VALUE,
    ),
    // The form.
    (
        Bug {
            name: "the token of the room's form is not compared",
            file: FORM,
            find: "rooms.key().is_form_token(ticket, &fields.token)",
            replace: "rooms.key().is_form_token(ticket, &rooms.key().form_token(ticket))",
        },
        BY_FORM,
    ),
    (
        Bug {
            name: "the room's form may be another site's",
            file: FORM,
            find: "    if !is_own(thread, received) {\n        return unless_refused(thread, received, not_own());\n    }\n",
            replace: "",
        },
        BY_FORM,
    ),
    (
        Bug {
            name: "no service is asked about the solution of the room's form",
            file: FORM,
            find: "challenge::settle(thread, received, &order, now).await {",
            replace: "challenge::settle(thread, received, &order, now).await.or(Ok::<_, Coded>(())) {",
        },
        SERVICE,
    ),
    // Challenges.
    (
        Bug {
            name: "a challenge is good for another attempt too",
            file: CHALLENGE,
            find: "if salt_says.order_id != *order_id {",
            replace: "if salt_says.order_id != *order_id && payload.number == 0 {",
        },
        SOLUTIONS,
    ),
    (
        Bug {
            name: "a challenge needs no signature",
            file: CHALLENGE,
            find: " || !mac.is(&self.sign(salt, challenge)) {",
            replace: " || mac.is(&self.sign(salt, \"\")) {",
        },
        SOLUTIONS,
    ),
    (
        Bug {
            name: "a challenge never expires",
            file: CHALLENGE,
            find: "if now_ms >= salt_says.expires_s.saturating_mul(1_000) {",
            replace: "if now_ms >= salt_says.expires_s.saturating_mul(1_000_000) {",
        },
        EXPIRY,
    ),
];
