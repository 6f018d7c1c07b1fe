//! A service of challenges, as Turnstile is one: it takes a solution that begins with `good`, once.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// What the server shows to the service.
pub const SECRET: &str = "service-secret-0123456789abcdef";

/// Starts it, for as long as this program runs; gives the URL that it is asked at.
///
/// # Errors
/// There is no port.
pub fn start() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/siteverify", listener.local_addr()?);
    std::thread::spawn(move || {
        let mut taken = HashSet::new();
        for mut stream in listener.incoming().flatten() {
            let solution = solution(&mut stream).unwrap_or_default();
            let good = solution.starts_with("good") && taken.insert(solution);
            let body = format!(r#"{{"success":{good}}}"#);
            let length = body.len();
            // Who asked and went away needs no answer.
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    Ok(url)
}

/// The solution that a call asks about, if it shows the secret.
fn solution(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
            if body.len() >= length.parse().ok()? {
                let rest = body.strip_prefix("secret=")?.strip_prefix(SECRET)?;
                return Some(rest.strip_prefix("&response=")?.to_owned());
            }
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
}
