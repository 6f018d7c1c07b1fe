//! Which orders to take back: named, in a file, or found by what makes them suspicious.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use http::Method;

use crate::cli::operator::{Call, Listener, json_of};
use crate::cli::when::When;
use crate::cli::{Common, Failure, Machine};
use crate::sale::{OrderId, ProductId};

/// Most orders of one command.
const ORDERS_MAX: usize = 200_000;
/// Orders of one page of a query, the most that a server gives: each page looks at all of the span again.
const PAGE_ORDERS: usize = 10_000;
/// Pages of one query: each may be empty and yet not the last.
const PAGES_MAX: usize = 10_000;

/// Exactly one of these.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Orders {
    /// An order's id; may be given several times.
    #[arg(long = "order", value_name = "ID")]
    orders: Vec<OrderId>,
    /// A file with an id at the beginning of each line; `#` begins a comment. CSV with the ids first will do.
    #[arg(long, value_name = "FILE")]
    orders_file: Option<PathBuf>,
    /// A query as `incident investigate` takes it, such as pattern=shared_fingerprint&since=-10m.
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
}

impl Orders {
    /// Their ids. What a query finds is asked for once: what is shown is what is taken back.
    pub(super) fn ids(
        &self,
        product: &ProductId,
        listener: &Listener,
        machine: &mut Machine<'_>,
        common: &Common,
    ) -> Result<Vec<String>, Failure> {
        let ids = match (&self.orders_file, &self.query) {
            (Some(file), _) => in_file(file)?,
            (None, Some(query)) => by_query(query, product, listener, machine, common)?,
            (None, None) => self.orders.iter().map(OrderId::to_string).collect(),
        };
        let mut seen = std::collections::HashSet::new();
        let ids: Vec<_> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
        if ids.len() > ORDERS_MAX {
            return Err(Failure::new(format!("at most {ORDERS_MAX} orders at a time")));
        }
        Ok(ids)
    }
}

fn in_file(file: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let lines = BufReader::new(std::fs::File::open(file).map_err(failed)?).lines();
    let mut ids = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let line = line.map_err(failed)?;
        let first = line.split([',', ';', '\t']).next().unwrap_or_default();
        let word = first.trim().trim_matches('"');
        let is_head = number == 1 && word.eq_ignore_ascii_case("orderId");
        if word.is_empty() || word.starts_with('#') || is_head {
            continue;
        }
        let id: OrderId = word.parse().map_err(|why| {
            Failure::new(format!("{}, line {number}: an order id is {why}", file.display()))
        })?;
        ids.push(id.to_string());
        if ids.len() > ORDERS_MAX {
            return Err(Failure::new(format!("at most {ORDERS_MAX} orders at a time")));
        }
    }
    Ok(ids)
}

fn by_query(
    query: &str,
    product: &ProductId,
    listener: &Listener,
    machine: &mut Machine<'_>,
    common: &Common,
) -> Result<Vec<String>, Failure> {
    let query = normalised(query, product, machine.clock.unix_ms())?;
    let mut ids = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let mut pairs = query.clone();
        pairs.extend(after.map(|after: String| ("after".to_owned(), after)));
        let text = serde_urlencoded::to_string(&pairs)
            .map_err(|error| Failure::new(format!("--query: {error}")))?;
        let path = format!("/admin/incident/orders?{text}");
        let call = Call { method: Method::GET, path, body: None };
        let page = json_of(&listener.send(machine, common, &call)?)?;
        for order in page["orders"].as_array().into_iter().flatten() {
            let id = order["orderId"].as_str().and_then(|id| id.parse::<OrderId>().ok());
            let id = id.ok_or_else(|| Failure::new("the reply names what is no order"))?;
            ids.push(id.to_string());
        }
        // Part of a farm taken back as if it were all of it is worse than none.
        if page["complete"] == false {
            return Err(Failure::new(
                "--query: not all of the span could be looked at, so its oldest orders are missing: nothing was \
                 changed. Name a shorter span (since=…&until=…), and run the command for one after the other",
            ));
        }
        after = match &page["next"] {
            serde_json::Value::Null => return Ok(ids),
            serde_json::Value::String(next) => Some(next.clone()),
            next => Some(next.to_string()),
        };
        if ids.len() > ORDERS_MAX {
            break;
        }
    }
    Err(Failure::new(format!("the query finds more than {ORDERS_MAX} orders; narrow its span")))
}

/// The query's pairs with its times as Unix milliseconds, and with the product.
fn normalised(
    query: &str,
    product: &ProductId,
    now_ms: u64,
) -> Result<Vec<(String, String)>, Failure> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
        .map_err(|_| Failure::new("--query is written such as pattern=bursts&since=-10m"))?;
    let mut normalised = vec![("product".to_owned(), product.to_string())];
    if !pairs.iter().any(|(name, _)| name == "limit") {
        normalised.push(("limit".to_owned(), PAGE_ORDERS.to_string()));
    }
    for (name, value) in pairs {
        match name.as_str() {
            "product" if value == product.as_str() => continue,
            "product" => return Err(Failure::new("--query names another product than --product")),
            "after" => return Err(Failure::new("--query: leave `after` to this command")),
            "since" | "until" => {
                // `+` is a space in a query.
                let value = value.replacen(' ', "+", 1);
                let at_ms = past_or_future(&value, now_ms)?;
                normalised.push((name, at_ms.to_string()));
            }
            _ => normalised.push((name, value)),
        }
    }
    Ok(normalised)
}

/// A time that may also be written as so long ago (`-10m`), in Unix milliseconds.
pub(super) fn past_or_future(text: &str, now_ms: u64) -> Result<u64, Failure> {
    let wrong = || Failure::new(format!("{}, or -10m", crate::cli::when::NotATime));
    match text.strip_prefix('-') {
        Some(ago) => {
            let ahead: When = format!("+{ago}").parse().map_err(|_| wrong())?;
            Ok(now_ms.saturating_sub(ahead.unix_ms(0)))
        }
        None => text.parse::<When>().map(|when| when.unix_ms(now_ms)).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_gets_the_product_and_times_that_a_server_reads() {
        let product = "phone".parse().unwrap();
        let pairs = normalised("pattern=bursts&since=-10m&until=+1s", &product, 1_000_000).unwrap();
        let text = serde_urlencoded::to_string(pairs).unwrap();
        let expected = "product=phone&limit=10000&pattern=bursts&since=400000&until=1001000";
        assert_eq!(text, expected);
        for wrong in ["product=shoe", "since=yesterday", "after=5"] {
            assert!(normalised(wrong, &product, 1_000_000).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_read_line_by_line_and_what_is_no_id_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("orders.csv");
        let [one, two] = [1, 2].map(|n| OrderId::from_random_bytes([n; 16]).to_string());
        std::fs::write(&file, format!("orderId,buyer\r\n\"{one}\",x\r\n# a word\n\n  {two}\n"))
            .unwrap();
        assert_eq!(in_file(&file).unwrap(), [one.clone(), two]);
        std::fs::write(&file, format!("{one}\n=cmd\n")).unwrap();
        let failure = in_file(&file).unwrap_err();
        assert!(failure.message.contains("line 2") && !failure.message.contains("=cmd"));
    }
}
