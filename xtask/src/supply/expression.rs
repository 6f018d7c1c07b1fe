//! Licence expressions of SPDX's: `MIT OR (Apache-2.0 AND ISC)`, and the older `MIT/Apache-2.0`.

/// Whether what is allowed suffices for the expression. One that cannot be read does not.
pub fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = either(&mut rest, allowed);
    rest.is_empty() && met == Some(true)
}

fn either(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut met = both(rest, allowed)?;
    while let [first, after @ ..] = *rest
        && *first == "OR"
    {
        *rest = after;
        met |= both(rest, allowed)?;
    }
    Some(met)
}

fn both(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut met = one(rest, allowed)?;
    while let [first, after @ ..] = *rest
        && *first == "AND"
    {
        *rest = after;
        met &= one(rest, allowed)?;
    }
    Some(met)
}

fn one(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let (name, after) = match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let met = either(rest, allowed)?;
            let [")", after @ ..] = *rest else { return None };
            *rest = after;
            return Some(met);
        }
        [name, "WITH", exception, after @ ..] => (format!("{name} WITH {exception}"), after),
        [name, after @ ..] => ((*name).to_owned(), after),
        [] => return None,
    };
    *rest = after;
    Some(allowed.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::is_met;

    #[test]
    fn an_expression_is_met_by_what_is_allowed_alone() {
        let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(String::from);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "ISC AND (MIT OR GPL-3.0)",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-3.0 AND GPL-2.0 OR MIT",
        ] {
            assert!(is_met(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "Apache-2.0",
            "MIT AND GPL-3.0",
            "MIT OR",
            "(MIT",
            "MIT)",
            "MIT GPL-3.0",
            "MIT AND (GPL-3.0 OR GPL-2.0)",
        ] {
            assert!(!is_met(bad, &allowed), "{bad}");
        }
    }
}
