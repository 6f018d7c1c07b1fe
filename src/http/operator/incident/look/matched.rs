//! The orders that a query finds, for a call that acts on them: all of them, or a refusal.

use super::parameters::Parameters;
use super::{Look, apart, evidence, filter, not_read};
use crate::evidence::analysis::patterns;
use crate::http::code::Code;
use crate::http::operator::Operator;
use crate::http::operator::call::invalid;
use crate::http::reply::{self, Coded};
use crate::sale::{OrderId, ProductId};

/// What a query found.
pub struct Matched {
    /// The orders, the oldest first.
    pub orders: Vec<OrderId>,
    /// The query with both ends of its span, so that asked again it finds no order that came later.
    pub query: String,
}

/// Whether a query says itself where its span ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// It may end now: nothing is done with what is found.
    MayEndNow,
    /// It must be the one that was looked at.
    MustBeFixed,
}

/// Finds the orders of `product` that a query of `GET /admin/incident/orders` finds, at most `orders_max`.
pub async fn matched(
    operator: &Operator,
    product: ProductId,
    query: &str,
    span: Span,
    orders_max: usize,
) -> Result<Matched, Coded> {
    let mut parameters = Parameters::read(Some(query))?;
    if span == Span::MustBeFixed && !parameters.has("until") {
        return Err(invalid(
            "the query must name its `until`: look with dryRun first, and send the `query` of its answer",
        ));
    }
    let mut look = Look::read(operator, &mut parameters)?;
    if look.product.is_some_and(|named| named != product) {
        return Err(invalid("the query names another product than `product`"));
    }
    look.product = Some(product);
    let filter = filter(operator, &look, &mut parameters)?;
    parameters.end()?;
    let turn = operator.turns.next().await?;
    let found = look.sightings(evidence(operator)?, &operator.shared, true).await;
    let found = found.map_err(|error| not_read(&error))?;
    // Part of a farm taken back as if it were all of it is worse than none.
    if found.cut {
        let detail = "not all of the span could be looked at: ask for a shorter one";
        return Err(reply::problem_because(Code::Conflict, detail));
    }
    let orders = apart(turn, move || {
        let all = patterns::orders(&found.sightings, &look.thresholds);
        all.iter().filter(|order| filter.wants(order)).map(|order| order.id).collect::<Vec<_>>()
    })
    .await?;
    if orders.len() > orders_max {
        let detail = format!(
            "the query finds {} orders, and a call takes at most {orders_max}: ask for a shorter span",
            orders.len()
        );
        return Err(reply::problem_because(Code::Conflict, &detail));
    }
    Ok(Matched { orders, query: fixed(query, &look)? })
}

/// The query with the span that was looked at.
pub fn fixed(query: &str, look: &Look) -> Result<String, Coded> {
    let unreadable = |_| invalid("the query cannot be read");
    let mut pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).map_err(unreadable)?;
    pairs.retain(|(name, _)| name != "since" && name != "until");
    pairs.push(("since".to_owned(), look.since_ms.to_string()));
    pairs.push(("until".to_owned(), look.until_ms.to_string()));
    serde_urlencoded::to_string(pairs).map_err(|_| invalid("the query cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::analysis::patterns::Thresholds;

    #[test]
    fn a_query_that_was_looked_at_names_its_span_once() {
        let look =
            Look { since_ms: 5, until_ms: 9, product: None, thresholds: Thresholds::default() };
        let query = "until=7&pattern=bursts&user=a%26b";
        assert_eq!(fixed(query, &look).unwrap(), "pattern=bursts&user=a%26b&since=5&until=9");
        let again = fixed(&fixed(query, &look).unwrap(), &look).unwrap();
        assert_eq!(again, fixed(query, &look).unwrap());
    }
}
