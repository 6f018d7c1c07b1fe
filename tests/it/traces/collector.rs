//! A small collector: an HTTP server that reads what the program exports, as OTLP has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flux_gate::trace::otlp::{ExportTraceServiceRequest, KeyValue, Span, Value};
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long spans may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Answers this status.
    Answers(u16),
    /// Says that it refused so many of the spans.
    Refuses(u8),
    /// Reads and never answers.
    Hangs,
}

/// A collector that runs until it is dropped.
pub struct Collector {
    address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Heard {
    calls: Vec<Call>,
}

/// One call.
pub struct Call {
    /// First line and headers.
    pub head: String,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Collector {
    /// On a port of the system's choice.
    pub fn start(manner: Manner) -> Self {
        Self::listen(manner, None)
    }

    /// The same by TLS.
    pub fn start_tls(tls: Arc<ServerConfig>) -> Self {
        Self::listen(Manner::Takes, Some(tls))
    }

    fn listen(manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (heard, ended) = (Arc::<Mutex<Heard>>::default(), Arc::<AtomicBool>::default());
        let (hears, ends) = (Arc::clone(&heard), Arc::clone(&ended));
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let hear = |call| hears.lock().expect("no panic").calls.push(call);
                match &tls {
                    None => serve(&mut stream, manner, hear),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).expect("TLS");
                        serve(&mut StreamOwned::new(connection, &stream), manner, hear);
                    }
                }
                if manner == Manner::Hangs {
                    held.push(stream);
                }
            }
        });
        Self { address, heard, ended }
    }

    /// The lines that send traces here. `more` are further lines of the section.
    pub fn config(&self, more: &str) -> String {
        format!("[traces]\nendpoint = \"http://{}\"\n{more}\n", self.address)
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All spans so far, each with the attributes of its process.
    pub fn spans(&self) -> Vec<(Span, Vec<KeyValue>)> {
        let heard = self.heard.lock().expect("no panic");
        let mut spans = Vec::new();
        for call in &heard.calls {
            let request = ExportTraceServiceRequest::decode(&call.body[..]).expect("OTLP");
            for of_process in request.resource_spans {
                let attributes = of_process.resource.expect("a resource").attributes;
                let all = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(all.map(|span| (span, attributes.clone())));
            }
        }
        spans
    }

    /// Waits until the spans of a trace satisfy `enough`, and gives them.
    pub fn wait_for(&self, trace_id: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let begun = Instant::now();
        loop {
            let spans = self.spans().into_iter().map(|(span, _)| span);
            let spans: Vec<Span> =
                spans.filter(|span| hex::encode(&span.trace_id) == trace_id).collect();
            if enough(&spans) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(begun.elapsed() < PATIENCE, "trace {trace_id} has only {names:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The calls so far: their heads, and their bodies as text of any kind.
    pub fn raw(&self) -> Vec<(String, Vec<u8>)> {
        let heard = self.heard.lock().expect("no panic");
        heard.calls.iter().map(|call| (call.head.clone(), call.body.clone())).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &mut (impl Read + Write), manner: Manner, hear: impl FnOnce(Call)) {
    if let Some(call) = read(stream) {
        hear(call);
        answer(stream, manner);
    }
}

fn read(stream: &mut impl Read) -> Option<Call> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.trim().parse().ok()?;
    while bytes.len() < end + length {
        more(stream, &mut bytes)?;
    }
    Some(Call { head, body: bytes[end..].to_vec() })
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
    bytes.extend_from_slice(&buffer[..length]);
    Some(())
}

fn answer(stream: &mut impl Write, manner: Manner) {
    let (status, body) = match manner {
        Manner::Takes => (200, Vec::new()),
        Manner::Answers(status) => (status, Vec::new()),
        // partial_success { rejected_spans }
        Manner::Refuses(spans) => (200, vec![0x0a, 2, 0x08, spans]),
        Manner::Hangs => return,
    };
    let head = format!(
        "HTTP/1.1 {status} Any\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// The span of this name; there must be just one.
pub fn one<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}: {spans:?}"));
    assert!(found.next().is_none(), "two spans {name}: {spans:?}");
    span
}

/// An attribute as text, or nothing.
pub fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()).and_then(|any| any.value);
    match value {
        Some(Value::Text(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        None => String::new(),
    }
}
