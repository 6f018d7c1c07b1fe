//! What operators do to persons: forget them, block them, and give others tokens.

use super::scene::Scene;
use super::setting::{OPERATOR_TOKEN, shop};
use crate::crash::crowd::unix_ms;
use crate::support::draft::Draft;
use crate::support::server::ADMIN_TOKEN;

impl Scene<'_> {
    /// A person asks what is kept, and to be forgotten: afterwards the id is nowhere, the store included.
    pub(super) fn forget(&mut self) {
        let phone = self.phone.clone();
        let (person, key) = (self.nobody(), self.key());
        let order = Draft::order(&phone, &person, &key).sign(&shop(), unix_ms());
        assert_eq!(self.send(order).summary(), "200 success");
        let who = format!(r#"{{"userId":"{person}"}}"#);
        let mail = self.marks.secret("a mail address", format!("{person}@mark.example"));
        // An admin who asks is told: that answer alone is not searched.
        let before = self.told_operators.len();
        for path in ["export", "status"] {
            let path = format!("/admin/privacy/{path}");
            // The ledger of many nodes comes later.
            let told = self.call(ADMIN_TOKEN, "POST", &path, &who);
            assert_eq!(told.status, 200, "{}", told.text());
            assert_eq!(self.call(OPERATOR_TOKEN, "POST", &path, &who).status, 403);
            let told = self.call(ADMIN_TOKEN, "POST", &path, &format!(r#"{{"userId":"{mail}"}}"#));
            assert_eq!(told.status, 200, "{}", told.text());
        }
        self.told_operators.truncate(before);
        let erase = |reason: &str| format!(r#"{{"userId":"{person}","reason":"{reason}"}}"#);
        let naming = erase(&format!("{person} asked"));
        let refused = self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &naming);
        assert_eq!(refused.summary(), "400 invalid_request");
        let erased = self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &erase("asked for it"));
        assert_eq!(erased.summary(), "200 erased", "{}", erased.text());
        for bad in [format!(r#"{{"userId":["{person}"]}}"#), format!(r#"{{"{person}":1}}"#), person]
        {
            assert_eq!(self.call(ADMIN_TOKEN, "POST", "/admin/privacy/erase", &bad).status, 400);
        }
    }

    /// Blocks somebody by each of the three, and lifts it again; makes a token and takes it back.
    pub(super) fn block(&mut self) {
        let until = unix_ms() + 3_600_000;
        let (user, number) = (self.nobody(), self.next());
        let fingerprint = format!("mark-live-fingerprint-{number:04x}");
        let fingerprint = self.marks.secret("a fingerprint that is blocked", fingerprint);
        let address = format!("198.51.100.{}", number % 250);
        let address = self.marks.secret("an address that is blocked", address);
        for target in [
            format!(r#""user":"{user}""#),
            format!(r#""fingerprint":"{fingerprint}""#),
            format!(r#""address":"{address}""#),
        ] {
            let body = format!(r#"{{{target},"until":{until},"reason":"a test"}}"#);
            let set = self.call(ADMIN_TOKEN, "POST", "/admin/blocks", &body);
            assert_eq!(set.summary(), "200 applied", "{}", set.text());
        }
        let phone = self.phone.clone();
        let (other, keys) = (self.nobody(), [self.key(), self.key(), self.key()]);
        let signed =
            |user: &str, key: &str| Draft::order(&phone, user, key).sign(&shop(), unix_ms());
        assert_eq!(self.send(signed(&user, &keys[0])).summary(), "403 user_blocked");
        let by_it = signed(&other, &keys[1]).set("x-device-fingerprint", &fingerprint);
        assert_eq!(self.send(by_it).summary(), "403 blocked");
        assert_eq!(self.send_from(signed(&other, &keys[2]), &address).summary(), "403 blocked");
        assert_eq!(self.call(ADMIN_TOKEN, "GET", "/admin/blocks", "").status, 200);
        for bad in [format!(r#"{{"user":"{user}"}}"#), format!(r#"{{"address":"{user}"}}"#), user] {
            assert!(self.call(ADMIN_TOKEN, "POST", "/admin/blocks", &bad).status >= 400);
        }
        for target in [
            format!(r#"{{"fingerprint":"{fingerprint}"}}"#),
            format!(r#"{{"address":"{address}"}}"#),
        ] {
            let lifted = self.call(ADMIN_TOKEN, "DELETE", "/admin/blocks", &target);
            assert_eq!(lifted.summary(), "200 applied", "{}", lifted.text());
        }

        // Who makes a token is told it once, so that answer alone is not searched.
        let before = self.told_operators.len();
        let body = format!(r#"{{"name":"night-{number}-{phone}","role":"viewer"}}"#);
        let made = self.call(ADMIN_TOKEN, "POST", "/admin/tokens", &body);
        assert_eq!(made.status, 201, "{}", made.text());
        self.told_operators.truncate(before);
        let token = self.marks.secret("a token that was made", made.member("token"));
        assert_eq!(self.call(&token, "GET", "/admin/tokens", "").status, 403);
        assert_eq!(self.call(&token, "GET", "/admin/products", "").status, 200);
        let revoke = format!("/admin/tokens/night-{number}-{phone}");
        assert_eq!(self.call(ADMIN_TOKEN, "DELETE", &revoke, "").status, 200);
        assert_eq!(self.call(&token, "GET", "/admin/products", "").status, 401);
    }
}
