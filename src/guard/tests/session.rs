//! `POST /session`, and that what it gives is good for an order.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

const JWT_SECRET: &str = "jwt-secret-0123456789-0123456789-01";

fn with_issuer() -> Config {
    let mut config = config();
    config.jwt = vec![
        serde_json::from_value(json!({
            "issuer": "https://shop.example", "audience": "flux-gate", "algorithm": "HS256",
            "key": JWT_SECRET,
        }))
        .unwrap(),
    ];
    config
}

fn token(user: &str, exp_s: u64) -> String {
    let claims =
        json!({"iss": "https://shop.example", "aud": "flux-gate", "sub": user, "exp": exp_s});
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

fn by_token(world: &World, token: &str) -> Draft {
    world.draft("", "", vec![("authorization", format!("Bearer {token}"))]).with(|draft| {
        draft.target = "/session".to_owned();
        (draft.time, draft.key, draft.signature) = (None, None, Some(String::new()));
        draft.body = String::new();
    })
}

fn by_client(world: &World, user: &str) -> Draft {
    world.client(user, "").with(|draft| {
        draft.target = "/session".to_owned();
        draft.key = None;
        draft.body = format!(r#"{{"userId":"{user}"}}"#);
    })
}

#[test]
fn a_session_by_either_way_is_good_for_orders_of_its_user_alone() {
    let mut world = World::new(&with_issuer());
    let drafts =
        [by_token(&world, &token("alice", NOW_MS / 1_000 + 60)), by_client(&world, "alice")];
    for draft in drafts {
        let opened = world.session(&draft).unwrap();
        assert_eq!(opened.user.as_str(), "alice");
        assert_eq!((opened.expires_at_ms, opened.session_key.len()), (NOW_MS + 900_000, 64));
        let lines = || vec![("authorization", format!("Bearer {}", opened.pass))];
        let order =
            |user| Draft { secret: opened.session_key.clone(), ..world.draft(user, "k", lines()) };
        let (own, other) = (order("alice"), order("bob"));
        assert_eq!(world.refusal(&own), None);
        assert_eq!(world.refusal(&other), Some(Refusal::Forbidden(Forbidden::OtherUser)));
        // A pass is no JWT: it opens no further session.
        let again = by_token(&world, &opened.pass);
        let refusal = world.session(&again).err().unwrap().refusal;
        assert!(matches!(refusal, Refusal::Unauthenticated(_)));
    }
}

#[test]
fn a_session_call_is_refused_in_the_order_of_the_checks() {
    let world = World::new(&with_issuer());
    let refusal = |draft: Draft| world.session(&draft).err().map(|refused| refused.refusal);
    let good = || by_client(&world, "alice");
    let expired = refusal(good().with(|draft| draft.time = None));
    assert_eq!(expired, Some(Refusal::RequestExpired { server_time_ms: NOW_MS }));
    let unsigned = refusal(good().with(|draft| draft.signature = Some(String::new())));
    assert_eq!(unsigned, Some(Refusal::InvalidSignature));
    let form = refusal(good().with(|draft| draft.lines[0].1 = "text/plain".to_owned()));
    assert_eq!(form, Some(Refusal::UnsupportedMediaType));
    let empty = refusal(good().with(|draft| draft.body.clear()));
    assert!(matches!(empty, Some(Refusal::InvalidRequest(_))));
    let packer = refusal(good().with(|draft| draft.credentials[0].1 = "packer".to_owned()));
    let missing = Forbidden::MissingRole(ClientRole::Session);
    assert_eq!(packer, Some(Refusal::Forbidden(missing)));
    let blocked = Some(Refusal::Forbidden(Forbidden::UserBlocked));
    assert_eq!(refusal(by_client(&world, "mallory")), blocked);
    let by_jwt = |user| by_token(&world, &token(user, NOW_MS / 1_000 + 60));
    assert_eq!(refusal(by_jwt("mallory")), blocked);
    let body = refusal(by_jwt("alice").with(|draft| draft.body = r#"{"userId":"bob"}"#.to_owned()));
    assert!(matches!(body, Some(Refusal::InvalidRequest(_))));
    let late = refusal(by_token(&world, &token("alice", NOW_MS / 1_000 - 30)));
    assert_eq!(late, Some(Refusal::Unauthenticated("The token has expired.")));
    let both = refusal(by_jwt("alice").with(|draft| {
        draft.credentials.push(("x-api-key", "shop".to_owned()));
    }));
    assert!(matches!(both, Some(Refusal::Unauthenticated(_))));
}

#[test]
fn bad_tokens_count_against_their_address_and_good_ones_against_their_buyer() {
    let world = World::new(&with_issuer());
    let bad = by_token(&world, "a.b.c");
    let refused = |draft: &Draft| world.session(draft).err().map(|refused| refused.refusal);
    for n in 0..100 {
        let user = format!("user-{n}");
        assert_eq!(refused(&by_token(&world, &token(&user, NOW_MS / 1_000 + 60))), None);
    }
    let same = by_token(&world, &token("alice", NOW_MS / 1_000 + 60));
    assert_eq!((0..20).filter(|_| refused(&same).is_none()).count(), 5);
    assert!(matches!(refused(&same), Some(Refusal::SlowDown { .. })));
    let over = |refusal| matches!(refusal, Some(Refusal::TooManyRequests { .. }));
    assert_eq!((0..50).filter(|_| !over(refused(&bad))).count(), 20);
}
