//! The ordinary design of a flash sale, to compare many nodes with: axum, Redis and Kafka, one step after the
//! other, as its usual description goes, in the same language, with the same libraries and the same stores.
//!
//! Written as well as that design allows: tokio's default runtime on all cores, one multiplexed connection to
//! Redis, the script loaded once, a producer whose records share requests. What it does not do is what Flux-Gate
//! adds: it verifies no signature, validates no field, limits by one global counter, trusts Redis for the stock,
//! and answers before anything has read the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::distributed::stack::Stack;

/// Requests of one second that the global limit lets through: more than come, as for every server here.
const PER_SECOND_MAX: u64 = 1_000_000;
/// How long an idempotency key is remembered.
const IDEMPOTENCY_SECONDS: u64 = 60;
/// How long Redis and Kafka may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes a unit and remembers the key, in one step.
const TAKE: &str = "\
local stock = tonumber(redis.call('GET', KEYS[1]) or '0')
if stock < 1 then return 0 end
redis.call('DECRBY', KEYS[1], 1)
redis.call('SET', KEYS[2], 'processed', 'EX', ARGV[1])
return 1";

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file with the stack's environment.
    #[arg(long)]
    stack: PathBuf,
    /// The topic of its orders.
    #[arg(long)]
    topic: String,
    /// How long the producer gathers records, in milliseconds.
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
}

/// What all requests share.
struct Shop {
    redis: MultiplexedConnection,
    /// SHA-1 of [`TAKE`], by which Redis knows it.
    take: String,
    producer: FutureProducer,
    topic: String,
    random: SystemRandom,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    product_id: String,
    user_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    order_id: &'a str,
    product_id: &'a str,
    user_id: &'a str,
    timestamp_ms: u128,
}

/// Serves until it is killed; says on its first line where.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let stack = Stack::read(&options.stack)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shop = Arc::new(connect(&stack, options).await?);
        let listener = tokio::net::TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        println!("{}", listener.local_addr()?);
        let app = Router::new().route("/order", post(order)).with_state(shop);
        Ok(axum::serve(listener, app).await?)
    })
}

async fn connect(stack: &Stack, options: &Options) -> anyhow::Result<Shop> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    let client = stack.redis()?;
    let mut redis = client.get_multiplexed_async_connection_with_config(&config).await?;
    let take = redis::cmd("SCRIPT").arg("LOAD").arg(TAKE).query_async(&mut redis).await?;
    let mut config = stack.kafka("FLUX_GATE__KAFKA__USERNAME", "FLUX_GATE__KAFKA__PASSWORD")?;
    config
        .set("acks", "all")
        .set("linger.ms", options.linger_ms.to_string())
        .set("message.timeout.ms", PATIENCE.as_millis().to_string());
    let (producer, topic) = (config.create()?, options.topic.clone());
    Ok(Shop { redis, take, producer, topic, random: SystemRandom::new() })
}

async fn order(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Response {
    let key = headers.get("x-idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key else {
        return answer(StatusCode::BAD_REQUEST, json!({"error": "Missing Idempotency Key"}));
    };
    place(&shop, key, &order).await.unwrap_or_else(|error| {
        answer(StatusCode::INTERNAL_SERVER_ERROR, json!({"error": error.to_string()}))
    })
}

async fn place(shop: &Shop, key: &str, order: &Order) -> anyhow::Result<Response> {
    let mut redis = shop.redis.clone();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let rate_key = format!("rate:{}", now.as_secs());
    let rate: u64 = redis::cmd("INCR").arg(&rate_key).query_async(&mut redis).await?;
    if rate == 1 {
        () = redis::cmd("EXPIRE").arg(&rate_key).arg(2).query_async(&mut redis).await?;
    }
    if rate > PER_SECOND_MAX {
        let body = json!({"error": "Too many requests"});
        return Ok(answer(StatusCode::TOO_MANY_REQUESTS, body));
    }
    let idempotency_key = format!("idempotency:{key}");
    let seen: Option<String> =
        redis::cmd("GET").arg(&idempotency_key).query_async(&mut redis).await?;
    if seen.is_some() {
        let body = json!({"status": "ignored", "msg": "Duplicate request"});
        return Ok(answer(StatusCode::OK, body));
    }
    let taken: u64 = redis::cmd("EVALSHA")
        .arg(&shop.take)
        .arg(2)
        .arg(stock_key(&order.product_id))
        .arg(&idempotency_key)
        .arg(IDEMPOTENCY_SECONDS)
        .query_async(&mut redis)
        .await?;
    if taken == 0 {
        let body = json!({"status": "sold_out", "msg": "Inventory empty"});
        return Ok(answer(StatusCode::CONFLICT, body));
    }
    let order_id = random_id(&shop.random)?;
    let event = Event {
        order_id: &order_id,
        product_id: &order.product_id,
        user_id: &order.user_id,
        timestamp_ms: now.as_millis(),
    };
    let payload = serde_json::to_vec(&event)?;
    let record = FutureRecord::to(&shop.topic).key(&order.product_id).payload(&payload);
    shop.producer.send(record, PATIENCE).await.map_err(|(error, _)| error)?;
    let body = json!({"status": "success", "msg": "Order accepted", "orderId": order_id});
    Ok(answer(StatusCode::OK, body))
}

/// The Redis key of a product's stock.
pub fn stock_key(product: &str) -> String {
    format!("product:{product}:stock")
}

fn random_id(random: &SystemRandom) -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).context("no randomness")?;
    Ok(hex::encode(bytes))
}

fn answer(status: StatusCode, body: serde_json::Value) -> Response {
    (status, Json(body)).into_response()
}
