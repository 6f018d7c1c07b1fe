use flux_gate::{app, clock::Clock, config::*};
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    tracing_subscriber::fmt().init();
    let mut c = Config::default();
    c.data.dir = std::env::args().nth(1).unwrap().into();
    c.admin.token = Some("admin-token-0123456789abcdef012345".into());
    c.secrets.order_key = Some("o".repeat(40).into());
    c.secrets.buyer_key = Some("b".repeat(40).into());
    c.secrets.pass_keys = Some(format!("k1:{}", "p".repeat(40)).into());
    c.clients.push(ApiClient {
        id: "shop".into(),
        secrets: vec!["shop-secret-0123456789abcdef".into()],
        roles: vec![ClientRole::Order, ClientRole::Session, ClientRole::Fulfilment],
        name_space: "shop".into(),
    });
    c.limits.client_per_second = 1_000_000;
    c.limits.buyer_per_second = 1_000_000;
    c.limits.min_interval_ms = 0;
    c.limits.ip_per_second = 1_000_000;
    c.limits.ip_burst = 1_000_000;
    c.limits.product_per_second = 1_000_000;
    let running = app::start(c, Clock::system()).unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(tokio::signal::ctrl_c()).unwrap();
    running.stop();
}
