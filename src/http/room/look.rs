//! How the page looks: its texts in its languages, its brand, its files.
//!
//! All of it is read at the start: a logo or a text that cannot be used stops the program then, not in a sale.

use std::path::PathBuf;

use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeMap;

use crate::config::room::{Room, colour};

/// Largest logo, in bytes.
pub const LOGO_BYTES_MAX: usize = 64 * 1_024;
/// Largest file of texts, in bytes.
const TEXTS_BYTES_MAX: usize = 256 * 1_024;

const BUILT_IN: &str = include_str!("assets/texts.toml");
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The texts of one language, by name.
pub type Texts = BTreeMap<String, String>;

/// Why the page cannot look as it is to.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large.
    #[error("{} has more than {max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// What it may have.
        max: usize,
    },
    /// A logo is no picture that a browser shows.
    #[error("room.brand_logo_file must end in .svg, .png, .jpg, .jpeg or .webp")]
    Logo,
    /// Texts are no table of texts.
    #[error("room.texts_file must hold a table of texts for each language: {0}")]
    Texts(Box<toml::de::Error>),
    /// A text that the page does not have.
    #[error("room.texts_file: the page has no text `{name}` ({language})")]
    Unknown {
        /// In which language.
        language: String,
        /// Its name.
        name: String,
    },
    /// A language without a text that the page needs.
    #[error("room.texts_file: the text `{name}` is missing in `{language}`")]
    Missing {
        /// In which language.
        language: String,
        /// Its name.
        name: String,
    },
}

/// A file of the page.
#[derive(Debug, Clone)]
pub struct File {
    /// Its media type.
    pub kind: &'static str,
    /// What it holds.
    pub bytes: Bytes,
}

/// How the page looks.
#[derive(Debug)]
pub struct Look {
    /// The name on the page.
    pub brand_name: String,
    /// Whether there is a logo.
    pub has_logo: bool,
    /// The languages, the default first, with their texts.
    languages: Vec<(String, Texts)>,
    files: HashMap<&'static str, File>,
}

impl Look {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// See [`LookError`].
    pub fn load(config: &Room) -> Result<Self, LookError> {
        let mut files = HashMap::new();
        let mut file = |name, kind, bytes| drop(files.insert(name, File { kind, bytes }));
        file("room.css", CSS, Bytes::from_static(include_bytes!("assets/room.css")));
        file("room.js", JAVASCRIPT, Bytes::from_static(include_bytes!("assets/room.js")));
        file("icon.svg", "image/svg+xml", Bytes::from_static(include_bytes!("assets/icon.svg")));
        file("brand.css", CSS, brand_css(&config.brand_colour).into());
        if let Some(path) = &config.brand_logo_file {
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            let kind = match extension.to_str() {
                Some("svg") => "image/svg+xml",
                Some("png") => "image/png",
                Some("jpg" | "jpeg") => "image/jpeg",
                Some("webp") => "image/webp",
                _ => return Err(LookError::Logo),
            };
            file("logo", kind, read(path, LOGO_BYTES_MAX)?.into());
        }
        Ok(Self {
            brand_name: config.brand_name.clone(),
            has_logo: config.brand_logo_file.is_some(),
            languages: languages(config)?,
            files,
        })
    }

    /// A file of the page.
    pub fn file(&self, name: &str) -> Option<&File> {
        self.files.get(name)
    }

    /// The codes of the languages, the default first.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|(language, _)| language.as_str())
    }

    /// The language to speak: the one that is asked for, else the first of those that the browser accepts.
    pub fn language(&self, asked: Option<&str>, accepted: Option<&str>) -> (&str, &Texts) {
        let known = |code: &str| {
            let code = code.trim().split(['-', ';']).next().unwrap_or_default();
            self.languages.iter().find(|(language, _)| language.eq_ignore_ascii_case(code))
        };
        // A browser lists its languages in the order in which it wants them.
        let accepted = || accepted.and_then(|list| list.split(',').take(16).find_map(known));
        let (language, texts) =
            asked.and_then(known).or_else(accepted).unwrap_or(&self.languages[0]);
        (language, texts)
    }
}

/// The brand's colour, and black or white on it, whichever is read more easily (WCAG 2 contrast).
fn brand_css(text: &str) -> String {
    let rgb = colour(text).unwrap_or_default();
    let linear = rgb.map(|value| {
        let value = f64::from(value) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    let luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    let on_brand =
        if 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 { "#fff" } else { "#000" };
    format!(":root{{--brand:#{};--on-brand:{on_brand}}}\n", hex::encode(rgb))
}

fn languages(config: &Room) -> Result<Vec<(String, Texts)>, LookError> {
    type Tables = BTreeMap<String, Texts>;
    let parse = |text: &str| {
        toml::from_str::<Tables>(text).map_err(|error| LookError::Texts(Box::new(error)))
    };
    let mut tables = parse(BUILT_IN)?;
    let names: Vec<String> = tables["en"].keys().cloned().collect();
    if let Some(path) = &config.texts_file {
        let bytes = read(path, TEXTS_BYTES_MAX)?;
        for (language, texts) in parse(&String::from_utf8_lossy(&bytes))? {
            if let Some(name) = texts.keys().find(|name| !names.contains(name)) {
                return Err(LookError::Unknown { language, name: name.clone() });
            }
            tables.entry(language).or_default().extend(texts);
        }
    }
    let of = |language: &String| {
        let texts = tables.get(language).cloned().unwrap_or_default();
        match names.iter().find(|name| !texts.contains_key(*name)) {
            Some(name) => {
                Err(LookError::Missing { language: language.clone(), name: name.clone() })
            }
            None => Ok((language.clone(), texts)),
        }
    };
    config.languages.iter().map(of).collect()
}

fn read(path: &std::path::Path, max: usize) -> Result<Vec<u8>, LookError> {
    let bytes =
        std::fs::read(path).map_err(|source| LookError::Read { path: path.to_owned(), source })?;
    if bytes.len() > max {
        return Err(LookError::TooLarge { path: path.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look() -> Look {
        Look::load(&Room::default()).unwrap()
    }

    #[test]
    fn every_language_has_every_text_and_none_is_empty() {
        let tables: BTreeMap<String, Texts> = toml::from_str(BUILT_IN).unwrap();
        for (language, texts) in &tables {
            assert_eq!(texts.len(), tables["en"].len(), "{language}");
            assert!(texts.values().all(|text| !text.trim().is_empty()));
        }
        let look = look();
        assert_eq!(look.languages().collect::<Vec<_>>(), ["en", "de"]);
    }

    #[test]
    fn the_language_is_the_one_asked_for_then_the_first_that_is_accepted() {
        let look = look();
        for (asked, accepted, spoken) in [
            (None, None, "en"),
            (Some("de"), Some("en"), "de"),
            (Some("xx"), Some("fr-CH, de;q=0.7, en;q=0.5"), "de"),
            (None, Some("de-AT"), "de"),
            (None, Some("fr, *;q=0.1"), "en"),
            (None, Some(""), "en"),
        ] {
            assert_eq!(look.language(asked, accepted).0, spoken, "{asked:?} {accepted:?}");
        }
    }

    #[test]
    fn the_brands_colour_can_be_read() {
        assert_eq!(brand_css("#1f6f54"), ":root{--brand:#1f6f54;--on-brand:#fff}\n");
        assert!(brand_css("#ffdd00").contains("--on-brand:#000"));
    }

    #[test]
    fn texts_of_ones_own_take_the_place_of_those_built_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("texts.toml");
        let with = |text: &str, languages: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let languages = languages.iter().map(|language| (*language).to_owned()).collect();
            Look::load(&Room { texts_file: Some(path.clone()), languages, ..Room::default() })
        };
        let look = with("[en]\nbuy = \"Take it\"", &["en"]).unwrap();
        assert_eq!(look.language(None, None).1["buy"], "Take it");
        assert!(matches!(with("[en]\nbye = \"\"", &["en"]), Err(LookError::Unknown { .. })));
        assert!(matches!(with("[fr]\nbuy = \"Acheter\"", &["fr"]), Err(LookError::Missing { .. })));
        assert!(matches!(with("en = 1", &["en"]), Err(LookError::Texts(_))));
    }

    #[test]
    fn the_page_is_small() {
        let look = look();
        let bytes: usize = ["room.css", "room.js", "brand.css", "icon.svg"]
            .iter()
            .map(|name| look.file(name).unwrap().bytes.len())
            .sum();
        assert!(bytes < 40_000, "{bytes} bytes, and 10,000 are left for the page itself");
    }
}
