mod planted;

fn main() -> anyhow::Result<()> {
    planted::run(std::env::args().nth(2).as_deref())
}
