//! The few calls of the client library that its Rust side does not offer, or offers in a way that panics.
//!
//! All unsafe code of the log is here. What the library hands out by pointer belongs to the message or the
//! event that it was asked of, and is only read while that is alive.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

/// A header's name and value, whatever their bytes are.
pub(crate) type Header<'m> = (&'m [u8], Option<&'m [u8]>);

/// The headers of a message, in their order. (The wrapper panics at a name that is not UTF-8, which anybody who
/// may write to the topic can send.)
pub(crate) fn headers<'m>(message: &'m BorrowedMessage<'_>) -> Headers<'m> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive, and owns the headers that are found.
    let error = unsafe { c::rd_kafka_message_headers(message.ptr(), &mut headers) };
    let count = match error {
        // SAFETY: found above.
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => unsafe { c::rd_kafka_header_cnt(headers) },
        _ => 0,
    };
    Headers { headers, indices: 0..count, message: PhantomData }
}

/// See [`headers`].
pub(crate) struct Headers<'m> {
    headers: *mut c::rd_kafka_headers_t,
    indices: Range<usize>,
    message: PhantomData<&'m ()>,
}

impl<'m> Iterator for Headers<'m> {
    type Item = Header<'m>;

    fn next(&mut self) -> Option<Header<'m>> {
        let index = self.indices.next()?;
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the message is alive, and so are its headers; the library writes where name and value lie.
        let error = unsafe {
            c::rd_kafka_header_get_all(self.headers, index, &mut name, &mut value, &mut size)
        };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        // SAFETY: a name ends with a zero byte and lives as long as the message.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: a value that is there has `size` bytes and lives as long as the message.
        let value = (!value.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(value.cast::<u8>(), size) });
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// A topic as the cluster has it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic {
    /// Given when it was made, and never again: a topic that is made anew has another one.
    pub id: u128,
    pub partitions: usize,
}

/// Describes a topic. (The wrapper does not know ids.)
pub(super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Topic, KafkaError> {
    let timeout_ms = timeout.as_millis() as i32;
    let name = CString::new(topic)?;
    let failed = |code: RDKafkaRespErr| KafkaError::AdminOp(code.into());
    // SAFETY: every object that is made here is used while its `Owned` is alive, and destroyed once by it;
    // the client outlives them all; the description is read while its event is alive.
    unsafe {
        let topics = c::rd_kafka_TopicCollection_of_topic_names([name.as_ptr()].as_mut_ptr(), 1);
        let topics = Owned(topics, c::rd_kafka_TopicCollection_destroy);
        let any = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_ANY;
        let options = c::rd_kafka_AdminOptions_new(client.native_ptr(), any);
        let options = Owned(options, c::rd_kafka_AdminOptions_destroy);
        let set =
            c::rd_kafka_AdminOptions_set_request_timeout(options.0, timeout_ms, ptr::null_mut(), 0);
        if set != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(set));
        }
        let queue = Owned(c::rd_kafka_queue_new(client.native_ptr()), c::rd_kafka_queue_destroy);
        c::rd_kafka_DescribeTopics(client.native_ptr(), topics.0, options.0, queue.0);
        // The library answers within the request's time; if not, its answer finds the queue gone.
        let event = c::rd_kafka_queue_poll(queue.0, timeout_ms.saturating_add(100));
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = Owned(event, c::rd_kafka_event_destroy);
        let error = c::rd_kafka_event_error(event.0);
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(failed(error));
        }
        let result = c::rd_kafka_event_DescribeTopics_result(event.0);
        let mut count = 0;
        if result.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail));
        }
        let found = c::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if found.is_null() || count != 1 {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopic));
        }
        let found = *found;
        let error = c::rd_kafka_TopicDescription_error(found);
        if !error.is_null() {
            let code = c::rd_kafka_error_code(error);
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(failed(code));
            }
        }
        let id = c::rd_kafka_TopicDescription_topic_id(found);
        if id.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedFeature));
        }
        let high = c::rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = c::rd_kafka_Uuid_least_significant_bits(id) as u64;
        let mut partitions = 0;
        c::rd_kafka_TopicDescription_partitions(found, &mut partitions);
        Ok(Topic { id: u128::from(high) << 64 | u128::from(low), partitions })
    }
}

/// An object of the library, with the function that destroys it.
struct Owned<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: nobody else destroys it, and nothing of it is in use any more.
            unsafe { (self.1)(self.0) }
        }
    }
}
