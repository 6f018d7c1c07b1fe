//! The one thread that writes the trail.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::event::{Kind, Noted, RefusalKind};
use super::flood::{Counts, Source, Tally};
use super::head::{self, RemovedFields};
use super::pseudonym::Pseudonyms;
use super::store::{Limits, Store, StoreError};
use super::{LogHead, LogHeads, NotRecorded, Tallies};
use crate::clock::Clock;
use crate::keys::signer::Signer;

/// How often the thread looks up when nothing comes.
const LOOK_UP_EVERY: Duration = Duration::from_millis(500);
/// How long counts gather, and how old the last head may be while there is something new.
const MINUTE_US: u64 = 60_000_000;
/// Messages that are written together.
const BATCH_MAX: usize = 256;

/// What comes to the writer.
pub(super) enum Message {
    /// A refusal, to be kept in full if the minute has room.
    Refusal { kind: RefusalKind, source: Option<Source>, noted: Noted },
    /// An event that somebody waits for.
    Event { kind: Kind, fields: Value, done: oneshot::Sender<Result<(), NotRecorded>> },
    /// Somebody wants a head.
    Head { done: oneshot::Sender<Result<String, NotRecorded>> },
    /// The end.
    Stop,
}

/// What the writer works with.
pub(super) struct Parts {
    pub dir: PathBuf,
    pub limits: Limits,
    pub signer: Arc<Signer>,
    pub random: fn(&mut [u8]),
    pub version: &'static str,
    pub clock: Clock,
    pub log_heads: LogHeads,
    pub queue: Receiver<Message>,
    pub tallies: Tallies,
    pub not_recorded: Arc<AtomicU64>,
}

/// See the module.
pub(super) struct Writer {
    parts: Parts,
    store: Store,
    pseudonyms: Pseudonyms,
    /// Of what came through the queue: the threads' own tallies only bound what comes.
    tally: Tally,
    minute_ends_us: u64,
    last_head: Option<LastHead>,
    /// Events that could not be written, and of which the trail does not say so yet.
    unwritten: u64,
    /// Events in the store that are not flushed.
    unflushed: u64,
}

struct LastHead {
    seq: u64,
    log: Vec<LogHead>,
}

impl Writer {
    /// Opens the trail and writes the event of the start.
    pub(super) fn open(parts: Parts) -> Result<Self, StoreError> {
        let now_ms = parts.clock.unix_ms();
        let mut name = [0; 8];
        (parts.random)(&mut name);
        let (store, recovered) = Store::open(&parts.dir, parts.limits, &hex::encode(name), now_ms)?;
        let mut writer = Self {
            store,
            pseudonyms: Pseudonyms::new(parts.random, now_ms),
            tally: Tally::default(),
            minute_ends_us: parts.clock.monotonic_us() + MINUTE_US,
            last_head: None,
            unwritten: 0,
            unflushed: 0,
            parts,
        };
        writer
            .begin(&recovered, now_ms)
            .map_err(|source| StoreError::Io { path: writer.parts.dir.clone(), source })?;
        Ok(writer)
    }

    fn begin(&mut self, recovered: &super::store::Recovered, now_ms: u64) -> io::Result<()> {
        if *recovered != super::store::Recovered::default() {
            self.store.append(now_ms, Kind::Recovered, recovered)?;
        }
        let public = self.parts.signer.public();
        let start = json!({
            "version": self.parts.version,
            "process": std::process::id(),
            "key": public.id_text(),
            "public_key": public.to_string(),
            "pseudonyms": self.pseudonyms.key_name(),
        });
        self.store.append(now_ms, Kind::Start, &start)?;
        self.store.sync()
    }

    /// Writes until it is told to stop, or everybody who could write is gone.
    pub(super) fn run(mut self) {
        loop {
            let going_on = self.gather();
            self.keep_house(going_on);
            if !going_on {
                return;
            }
        }
    }

    /// Writes what is there, waiting for the first message. Returns whether to go on.
    fn gather(&mut self) -> bool {
        let mut message = match self.parts.queue.recv_timeout(LOOK_UP_EVERY) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        let mut waiting: Vec<(bool, oneshot::Sender<Result<(), NotRecorded>>)> = Vec::new();
        let mut going_on = true;
        let mut taken_count = 1;
        loop {
            match message {
                Message::Refusal { kind, source, noted } => self.refusal(kind, source, &noted),
                Message::Event { kind, fields, done } => {
                    waiting.push((self.write(kind, &fields).is_ok(), done));
                }
                Message::Head { done } => {
                    let head = self.head().and_then(|head| self.store.sync().map(|()| head));
                    if head.is_err() {
                        // What was to be written before it is lost with it.
                        waiting.iter_mut().for_each(|(taken, _)| *taken = false);
                    }
                    let _ = done.send(head.map_err(|error| self.failed(&error)));
                }
                Message::Stop => going_on = false,
            }
            if !going_on || taken_count == BATCH_MAX {
                break;
            }
            match self.parts.queue.try_recv() {
                Ok(next) => message = next,
                Err(_) => break,
            }
            taken_count += 1;
        }
        let written = if waiting.is_empty() { self.store.flush() } else { self.store.sync() };
        let result = written.map_err(|error| self.failed(&error));
        if result.is_ok() {
            self.unflushed = 0;
        }
        for (taken, done) in waiting {
            // Whoever waits may have gone; the line stands all the same.
            let _ = done.send(if taken { result } else { Err(NotRecorded) });
        }
        going_on
    }

    fn refusal(&mut self, kind: RefusalKind, source: Option<Source>, noted: &Noted) {
        if !self.tally.note(kind, source) {
            return;
        }
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: &str| {
            if !value.is_empty() {
                fields.insert(name.to_owned(), value.into());
            }
        };
        put("call", noted.call);
        put("detail", noted.detail);
        put("who", noted.who.as_deref().unwrap_or_default());
        put("source", &source.map(|source| self.pseudonyms.source(source)).unwrap_or_default());
        if let Some(fingerprint) = &noted.fingerprint {
            put("fingerprint", &self.pseudonyms.fingerprint(fingerprint));
        }
        if let Some(score) = &noted.score {
            fields.insert("points".to_owned(), score.points.into());
            fields.insert("reasons".to_owned(), score.reasons.clone().into());
        }
        // The line's own time is when it was written down.
        fields.insert("request_at_ms".to_owned(), noted.at_ms.into());
        let _ = self.write(Kind::Refusal(kind), &Value::Object(fields));
    }

    /// Appends a line; what cannot be is counted.
    fn write(&mut self, kind: Kind, fields: &Value) -> io::Result<()> {
        let now_ms = self.parts.clock.unix_ms();
        let appended = self.store.append(now_ms, kind, fields).map(|_| ());
        match &appended {
            Ok(()) => self.unflushed += 1,
            Err(_) => self.lost(1),
        }
        appended
    }

    /// Everything since the last flush is lost.
    fn failed(&mut self, error: &io::Error) -> NotRecorded {
        tracing::error!(%error, events = self.unflushed, "the audit trail cannot be written");
        let unflushed = std::mem::take(&mut self.unflushed);
        self.lost(unflushed);
        NotRecorded
    }

    /// Counts lines that are not in the trail: for the metric at once, for the trail until it can be said there.
    fn lost(&mut self, lines: u64) {
        self.unwritten += lines;
        self.parts.not_recorded.fetch_add(lines, Ordering::Relaxed);
    }

    /// What is due now and then: counts, a head, another segment, other pseudonyms.
    fn keep_house(&mut self, going_on: bool) {
        let now_us = self.parts.clock.monotonic_us();
        let minute = now_us >= self.minute_ends_us;
        if minute {
            self.minute_ends_us = now_us + MINUTE_US;
        }
        let done = self.chores(minute || !going_on, going_on);
        if let Err(error) = done {
            self.failed(&error);
        } else {
            self.unflushed = 0;
        }
    }

    fn chores(&mut self, minute: bool, going_on: bool) -> io::Result<()> {
        let now_ms = self.parts.clock.unix_ms();
        if minute {
            self.minute(now_ms)?;
        }
        if !going_on {
            self.write(Kind::Stop, &json!({}))?;
        }
        let full = self.store.is_segment_full(now_ms);
        if (minute || full) && self.is_head_due() {
            self.head()?;
            self.store.sync()?;
        }
        if full && going_on {
            self.store.rotate(now_ms)?;
        }
        if minute || full {
            self.remove_expired(now_ms)?;
        }
        Ok(())
    }

    /// The minute's counts; what could not be written; the day's pseudonyms.
    fn minute(&mut self, now_ms: u64) -> io::Result<()> {
        if self.unwritten > 0 {
            let count = self.unwritten;
            self.store.append(now_ms, Kind::NotRecorded, &json!({ "count": count }))?;
            self.store.flush()?;
            self.unwritten = 0;
        }
        let mut counts = Counts::default();
        self.tally.take(&mut counts);
        for tally in self.parts.tallies.lock().iter() {
            tally.lock().take(&mut counts);
        }
        for (kind, count, loudest) in counts.lines() {
            let sources: Vec<Value> = loudest
                .into_iter()
                .map(|(source, count)| {
                    json!({ "source": self.pseudonyms.source(source), "count": count })
                })
                .collect();
            let fields = json!({ "of": kind.word(), "count": count, "loudest": sources });
            self.write(Kind::Refusals, &fields)?;
        }
        if self.pseudonyms.renew(now_ms) {
            let fields = json!({ "pseudonyms": self.pseudonyms.key_name() });
            self.write(Kind::PseudonymKey, &fields)?;
        }
        self.store.flush()
    }

    /// Whether there is anything that the last head does not vouch for.
    fn is_head_due(&self) -> bool {
        let Some(last) = &self.last_head else { return true };
        last.seq != self.store.end().0 || last.log != (self.parts.log_heads)()
    }

    /// Appends a head and returns its line.
    fn head(&mut self) -> io::Result<String> {
        let log = (self.parts.log_heads)();
        let now_ms = self.parts.clock.unix_ms();
        let (last_seq, prev) = self.store.end();
        let seq = last_seq + 1;
        let at_ms = self.store.at_ms(now_ms);
        let fields = head::sign(&self.parts.signer, self.store.node(), seq, at_ms, &prev, &log);
        let line = self.store.append(now_ms, Kind::Head, &fields)?;
        let line = String::from_utf8_lossy(line).into_owned();
        self.last_head = Some(LastHead { seq, log });
        Ok(line)
    }

    fn remove_expired(&mut self, now_ms: u64) -> io::Result<()> {
        while let Some((oldest, why)) = self.store.expired(now_ms) {
            let node = self.store.node().to_owned();
            let (last_seq, last_digest) = (oldest.last_seq, oldest.last_digest);
            let signature = head::sign_removed(&self.parts.signer, &node, last_seq, &last_digest);
            let file = oldest.segment.path.file_name().unwrap_or_default();
            let fields = RemovedFields {
                node,
                file: file.to_string_lossy().into_owned(),
                first_seq: oldest.first_seq,
                last_seq,
                last_digest: hex::encode(last_digest),
                why: why.to_owned(),
                key: self.parts.signer.public().id_text(),
                signature: hex::encode(signature),
            };
            self.store.append(now_ms, Kind::SegmentRemoved, &fields)?;
            self.store.sync()?;
            self.store.remove_oldest()?;
        }
        Ok(())
    }
}
