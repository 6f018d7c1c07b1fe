//! What is a request's own: its ids and its spans, however requests take turns on a thread.

use std::net::TcpListener;
use std::task::Poll;

use http::HeaderValue;

use super::*;

/// A tracer whose collector takes nothing: spans stay in its queue for as long as a test runs.
fn tracer(sampler: &str, per_second_max: u32) -> (Tracer, TcpListener) {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Traces {
        endpoint: format!("http://{}", collector.local_addr().unwrap()),
        sampler: sampler.to_owned(),
        per_second_max,
        timeout_ms: 60_000,
        ..Traces::default()
    };
    (Tracer::start(&config, "node", &Clock::manual(1_700_000_000_000)).unwrap(), collector)
}

fn requests(tracer: &Tracer) -> Requests {
    Requests::new(tracer.clone(), [7; 16])
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Runs a future to its end; it never waits for anything but itself.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Yields once.
async fn turn() {
    let mut yielded = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[test]
fn without_a_collector_a_request_has_an_id_and_nothing_else() {
    let requests = requests(&Tracer::default());
    let given = headers(&[("x-request-id", "mine-1"), (TRACEPARENT, PARENT)]);
    let ids = run(requests.begin(&given, || unreachable!("no span")).run(async {
        let _step = step("guard");
        assert_eq!(place(), None);
        request::current()
    }));
    let Ids { request, trace } = ids.unwrap();
    assert_eq!((request.to_string().as_str(), trace), ("mine-1", None));
    assert!(request::current().is_none(), "the thread is nobody's again");

    let made = |headers: &HeaderMap| {
        let scope = requests.begin(headers, || unreachable!("no span"));
        run(scope.run(async { request::current() })).unwrap().request.to_string()
    };
    let bad = headers(&[("x-request-id", "two words")]);
    let (one, two) = (made(&HeaderMap::new()), made(&bad));
    assert_eq!((one.len(), two.len()), (32, 32));
    assert_ne!(one, two);
}

#[test]
fn a_sampled_request_joins_its_callers_trace_and_a_bad_parent_is_ignored() {
    let (tracer, _collector) = tracer("parentbased_always_off", 10);
    let requests = requests(&tracer);
    let at = |headers: &HeaderMap| {
        let scope = requests.begin(headers, || "POST /order");
        run(scope.run(async {
            let step = writing("log");
            let innermost = place();
            drop(step);
            (innermost, place(), request::current().and_then(|ids| ids.trace))
        }))
    };
    let (inner, outer, trace) = at(&headers(&[(TRACEPARENT, PARENT)]));
    let (inner, outer) = (inner.unwrap(), outer.unwrap());
    assert_eq!(inner.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!((outer.trace_id, trace), (inner.trace_id, NonZeroU128::new(inner.trace_id)));
    assert!(inner.span_id != outer.span_id && outer.span_id != 0x00f0_67aa_0ba9_02b7);
    let unsampled = PARENT.replace("-01", "-00");
    assert_eq!(at(&headers(&[(TRACEPARENT, &unsampled)])).0, None);
    let (nowhere, _, trace) = at(&headers(&[(TRACEPARENT, "00-nonsense")]));
    assert!(nowhere.is_none() && trace.is_some_and(|trace| trace.get() != inner.trace_id));
    assert_eq!(tracer.counts().unwrap().requests()[0], ("sampled", 1));
}

#[test]
fn requests_that_take_turns_keep_their_own() {
    let (tracer, _collector) = tracer("always_on", 100);
    let requests = requests(&tracer);
    let request = |id: &'static str| {
        let scope = requests.begin(&headers(&[("x-request-id", id)]), || "POST /order");
        scope.run(async move {
            let trace = place().unwrap().trace_id;
            for _ in 0..5 {
                let step = step("gate");
                turn().await;
                assert_eq!(place().unwrap().trace_id, trace);
                assert_eq!(request::current().unwrap().request.to_string(), id);
                drop(step);
            }
            trace
        })
    };
    let (mut one, mut two) = (Box::pin(request("one")), Box::pin(request("two")));
    let (mut first, mut second) = (None, None);
    run(std::future::poll_fn(|context| {
        if first.is_none() {
            first = match one.as_mut().poll(context) {
                Poll::Ready(trace) => Some(trace),
                Poll::Pending => None,
            };
        }
        assert!(request::current().is_none() && place().is_none(), "nobody's between turns");
        second = match two.as_mut().poll(context) {
            Poll::Ready(trace) => Some(trace),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(())
    }));
    assert!(first.is_some() && first != second);
}

#[test]
fn a_request_that_is_given_up_or_panics_leaves_the_thread_as_it_was() {
    let (tracer, _collector) = tracer("always_on", 100);
    let requests = requests(&tracer);
    let begin = || requests.begin(&HeaderMap::new(), || "POST /order");
    let mut given_up = Box::pin(begin().run(async {
        let _step = step("log");
        std::future::pending::<()>().await;
    }));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(given_up.as_mut().poll(&mut context).is_pending());
    // Dropped while another one is polled, it ends none of its steps.
    run(begin().run(async move {
        let _step = step("gate");
        let inner = place();
        drop(given_up);
        assert_eq!(place(), inner);
    }));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(begin().run(async { panic!("planted") }));
    }));
    assert!(panicked.is_err());
    assert!(request::current().is_none() && place().is_none());
}

#[test]
fn spans_of_a_request_are_bounded() {
    let (tracer, _collector) = tracer("always_on", 100);
    run(requests(&tracer).begin(&HeaderMap::new(), || "POST /order").run(async {
        for _ in 0..1_000 {
            let step = step("gate");
            step.note("flux_gate.outcome", "busy");
        }
        note("flux_gate.outcome", || "busy");
    }));
    tracer.hand_over(Vec::new());
    let dropped = tracer.counts().unwrap().spans()[1];
    assert_eq!(dropped, ("dropped", 0), "32 of them fit");
}
