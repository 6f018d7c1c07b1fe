//! What the disk gives by itself: a write and an fdatasync, with nothing around them.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;

/// Bytes of one write: a page, which is what a small transaction writes at least.
const WRITE_BYTES: usize = 4_096;

/// Writes and syncs `count` times in `dir` and adds the times, in microseconds, to `times_us`.
///
/// # Errors
/// The disk.
pub fn write_and_sync(dir: &Path, count: u32, times_us: &mut Histogram<u64>) -> anyhow::Result<()> {
    let path = dir.join("bare-write");
    let mut file = std::fs::File::create(&path)?;
    let bytes = [7; WRITE_BYTES];
    for _ in 0..count {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times_us.saturating_record(begun.elapsed().as_micros() as u64);
    }
    std::fs::remove_file(path)?;
    Ok(())
}
