//! Waiting rooms: for which products, how fast they are served, how their page looks.

use std::path::PathBuf;

use serde::Deserialize;

use super::Config;
use super::check::Found;
use crate::sale::ProductId;

/// Longest name of a brand, in bytes.
pub const BRAND_NAME_BYTES_MAX: usize = 80;
/// Longest name of the source of a public value, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256;
/// Languages of the page that are built in.
pub const LANGUAGES: [&str; 2] = ["en", "de"];

/// Waiting rooms.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Room {
    /// Products that are bought by way of their waiting room alone; `*` is every one. None: no rooms.
    pub products: Vec<String>,
    /// Shoppers who are let in, a second.
    pub admit_per_second: u32,
    /// How many may be let in beyond the units left, for those who then do not buy.
    pub surplus_units: u32,
    /// How long an admission is good, in seconds.
    pub admission_seconds: u64,
    /// After how long without a sign of life a shopper is passed over at their turn, in seconds.
    pub absent_seconds: u64,
    /// How often the page gives a sign of life, in seconds.
    pub poll_seconds: u64,
    /// Places that a room keeps at once.
    pub waiting_max: usize,
    /// Event streams that are open at once.
    pub viewers_max: usize,
    /// Event streams of one address (IPv4 /32, IPv6 /64).
    pub viewers_per_ip_max: usize,
    /// From where the public value of a draw will come; empty is none.
    pub public_value_source: String,
    /// The name on the page.
    pub brand_name: String,
    /// The picture on the page: SVG, PNG, JPEG or WebP.
    pub brand_logo_file: Option<PathBuf>,
    /// The colour of the page's button and place, `#rrggbb`.
    pub brand_colour: String,
    /// Languages of the page; the first is spoken to whoever asks for none of them.
    pub languages: Vec<String>,
    /// Other texts (TOML): a table for each language, a text for each of the page's.
    pub texts_file: Option<PathBuf>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            products: Vec::new(),
            admit_per_second: 50,
            surplus_units: 0,
            admission_seconds: 120,
            absent_seconds: 60,
            poll_seconds: 15,
            waiting_max: 200_000,
            viewers_max: 10_000,
            viewers_per_ip_max: 1_000,
            public_value_source: String::new(),
            brand_name: String::new(),
            brand_logo_file: None,
            brand_colour: "#1f6f54".to_owned(),
            languages: LANGUAGES.map(str::to_owned).into(),
            texts_file: None,
        }
    }
}

/// Checks what is said of rooms.
pub(super) fn check(found: &mut Found, config: &Config) {
    let room = &config.room;
    for product in room.products.iter().filter(|p| *p != "*" && p.parse::<ProductId>().is_err()) {
        let what = format!("`{product}` is no product id");
        found.error("room.products", what, "write ids of ^[a-z0-9-]{1,50}$, or *");
    }
    if room.absent_seconds < 2 * room.poll_seconds {
        let what = format!("is {}, less than two signs of life", room.absent_seconds);
        found.warn("room.absent_seconds", what, "choose at least twice room.poll_seconds");
    }
    if room.brand_name.len() > BRAND_NAME_BYTES_MAX {
        let what = format!("has more than {BRAND_NAME_BYTES_MAX} bytes");
        found.error("room.brand_name", what, "choose a shorter one");
    }
    if room.public_value_source.len() > SOURCE_BYTES_MAX {
        let what = format!("has more than {SOURCE_BYTES_MAX} bytes");
        found.error("room.public_value_source", what, "choose a shorter one");
    }
    if colour(&room.brand_colour).is_none() {
        let what = format!("`{}` is no colour", room.brand_colour);
        found.error("room.brand_colour", what, "write #rrggbb");
    }
    let fits = |language: &String| {
        language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    if room.languages.is_empty() || !room.languages.iter().all(fits) {
        let what = "must be languages of two letters, one at least";
        found.error("room.languages", what, "write such as [\"en\", \"de\"]");
    }
    let known = |language: &&String| LANGUAGES.contains(&language.as_str());
    if room.texts_file.is_none() && !room.languages.iter().all(|language| known(&language)) {
        let what = format!("holds one that is not built in; those are {}", LANGUAGES.join(", "));
        found.error("room.languages", what, "give its texts in room.texts_file");
    }
}

/// Red, green and blue of `#rrggbb`.
pub fn colour(text: &str) -> Option<[u8; 3]> {
    let mut bytes = [0; 3];
    hex::decode_to_slice(text.strip_prefix('#')?, &mut bytes).ok()?;
    Some(bytes)
}
