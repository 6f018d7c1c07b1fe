//! The JSON bodies of the public calls, parsed strictly and once, without copying.
//!
//! Exactly the members that the call takes, each once, each of its type; nothing before or after the
//! object but white space. What is wrong is said by member and by what it must be, never by what it was.
//! The size is bounded here and the depth by serde_json; whatever is skipped is refused all the same.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::guard::refusal::{FieldError, Refusal};
use crate::sale::{InvalidId, ProductId, UserId};

/// The largest body of a public call, in bytes: twice what the longest ids take, all escaped.
pub const BODY_BYTES_MAX: usize = 1_024;

/// The member that names the product.
const PRODUCT_ID: &str = "productId";
/// The member that names the user.
const USER_ID: &str = "userId";
/// The name by which errors speak of the whole body.
const BODY: &str = "body";

/// Reads the body of `POST /order`: exactly `productId` and `userId`.
///
/// # Errors
/// [`Refusal::InvalidRequest`] with every member that is wrong.
pub fn parse_order(body: &[u8]) -> Result<(ProductId, UserId), Refusal> {
    let [product, user] = members(body, [PRODUCT_ID, USER_ID])?;
    match (id::<ProductId>(PRODUCT_ID, product), id::<UserId>(USER_ID, user)) {
        (Ok(product), Ok(user)) => Ok((product, user)),
        (product, user) => {
            let errors = [product.err(), user.err()];
            Err(Refusal::InvalidRequest(errors.into_iter().flatten().collect()))
        }
    }
}

/// Reads the body of `POST /session` by an API client: exactly `userId`.
///
/// # Errors
/// [`Refusal::InvalidRequest`] with what is wrong.
pub fn parse_session(body: &[u8]) -> Result<UserId, Refusal> {
    let [user] = members(body, [USER_ID])?;
    id(USER_ID, user).map_err(|error| Refusal::InvalidRequest(vec![error]))
}

/// Reads the body of `POST /session` with a JWT, which says it all: nothing, or an object without members.
///
/// # Errors
/// [`Refusal::InvalidRequest`] with what is wrong.
pub fn parse_empty(body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() { Ok(()) } else { members(body, []).map(|[]: [_; 0]| ()) }
}

fn id<T: std::str::FromStr<Err = InvalidId>>(
    field: &'static str,
    member: Member<'_>,
) -> Result<T, FieldError> {
    let error = |message| Err(FieldError { field, message });
    match member {
        Member::Absent => error("is required".into()),
        Member::OtherType => error("must be a string".into()),
        Member::Text(text) => text.parse().or_else(|invalid: InvalidId| match invalid {
            InvalidId::Empty => error("must not be empty".into()),
            other => error(other.to_string().into()),
        }),
    }
}

/// What stands under a name.
enum Member<'a> {
    Absent,
    Text(Cow<'a, str>),
    OtherType,
}

fn members<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<[Member<'a>; N], Refusal> {
    let refused = |field, message: Cow<'static, str>| {
        Err(Refusal::InvalidRequest(vec![FieldError { field, message }]))
    };
    if body.len() > BODY_BYTES_MAX {
        return refused(BODY, format!("must be at most {BODY_BYTES_MAX} bytes").into());
    }
    let mut wrong = None;
    let mut parser = serde_json::Deserializer::from_slice(body);
    let object = ObjectOf { names, wrong: &mut wrong };
    let parsed = object.deserialize(&mut parser).and_then(|found| parser.end().map(|()| found));
    match (parsed, wrong) {
        (Ok(found), None) => Ok(found),
        (Ok(_), Some(Wrong::Unknown)) if N == 0 => refused(BODY, "must have no members".into()),
        (Ok(_), Some(Wrong::Unknown)) => {
            refused(BODY, format!("must have exactly {}", names.join(" and ")).into())
        }
        (Ok(_), Some(Wrong::Repeated(field))) => refused(field, "must come once".into()),
        (Err(_), _) => refused(BODY, "must be one JSON object".into()),
    }
}

/// What is wrong with the object as a whole, though it is JSON.
enum Wrong {
    Unknown,
    Repeated(&'static str),
}

/// Reads an object of the named members and notes the first that is unknown or repeated.
struct ObjectOf<'w, const N: usize> {
    names: [&'static str; N],
    wrong: &'w mut Option<Wrong>,
}

impl<'de, const N: usize> DeserializeSeed<'de> for ObjectOf<'_, N> {
    type Value = [Member<'de>; N];
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for ObjectOf<'_, N> {
    type Value = [Member<'de>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = std::array::from_fn(|_| Member::Absent);
        while let Some(position) = map.next_key_seed(Name(&self.names))? {
            let member = map.next_value_seed(AnyValue)?;
            let wrong = match position {
                None => Wrong::Unknown,
                Some(at) if matches!(found[at], Member::Absent) => {
                    found[at] = member;
                    continue;
                }
                Some(at) => Wrong::Repeated(self.names[at]),
            };
            self.wrong.get_or_insert(wrong);
        }
        Ok(found)
    }
}

/// Reads a member's name: its position among the known ones, if it is one.
struct Name<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Reads any value, keeps text, and skips the rest.
struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Member<'de>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Member::OtherType)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Member::OtherType)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Member::OtherType)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Member::OtherType)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Member::OtherType)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::OtherType)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::OtherType)
    }
}

#[cfg(test)]
mod tests;
