//! The parameters of a call that looks: each at most once, none that the call does not know, and nothing of what was
//! sent in the refusal.

use std::collections::BTreeMap;

use crate::http::operator::call::invalid;
use crate::http::reply::Coded;

/// What was asked, of which each parameter is taken once.
#[derive(Debug, Default)]
pub struct Parameters {
    given: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl Parameters {
    /// Reads a query, as it stands behind the `?`.
    pub fn read(query: Option<&str>) -> Result<Self, Coded> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default())
            .map_err(|_| invalid("the query cannot be read"))?;
        let mut given = BTreeMap::new();
        for (name, value) in pairs {
            if given.insert(name, value).is_some() {
                return Err(invalid("a parameter is given twice"));
            }
        }
        Ok(Self { given, known: Vec::new() })
    }

    /// Whether a parameter was given and not yet taken.
    pub fn has(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The text of a parameter.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        self.given.remove(name)
    }

    /// A whole number from `least` to `most`.
    pub fn number(
        &mut self,
        name: &'static str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, Coded> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // Digits alone: a sign is none of a count, nor of a time.
        let number =
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        match number.flatten().filter(|number| (least..=most).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(&format!("{name} must be a whole number from {least} to {most}"))),
        }
    }

    /// That nothing else was given.
    pub fn end(self) -> Result<(), Coded> {
        if self.given.is_empty() {
            return Ok(());
        }
        let known = self.known.join(", ");
        Err(invalid(&format!(
            "there is a parameter that this call does not know: it takes {known}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_twice_unknown_or_no_number_is_refused_and_not_echoed() {
        let text = |refused: Coded| format!("{:?}", refused.reply);
        for twice in ["a=1&a=1", "evil=1&evil=2", "%61=1&a=2"] {
            let refused = text(Parameters::read(Some(twice)).unwrap_err());
            assert!(refused.contains("twice") && !refused.contains("evil"), "{refused}");
        }
        let mut parameters = Parameters::read(Some("limit=5&evil=%0a")).unwrap();
        assert_eq!(parameters.number("limit", 1, 9).unwrap(), Some(5));
        let refused = text(parameters.end().unwrap_err());
        assert!(refused.contains("it takes limit") && !refused.contains("evil"), "{refused}");
        for wrong in ["0", "10", "", "+5", "-5", "5 ", "5.0", "0x5", "99999999999999999999", "evil"]
        {
            let query = serde_urlencoded::to_string([("limit", wrong)]).unwrap();
            let mut parameters = Parameters::read(Some(&query)).unwrap();
            let refused = text(parameters.number("limit", 1, 9).unwrap_err());
            assert!(refused.contains("from 1 to 9") && !refused.contains("evil"), "{refused}");
        }
        let mut none = Parameters::read(None).unwrap();
        assert_eq!(none.number("limit", 1, 9).unwrap(), None);
        assert!(none.end().is_ok());
    }
}
