//! Redis, as somebody with a password asks it: a refusal is an answer.

use anyhow::Context;

use super::STORE_TIMEOUT;

/// A connection to Redis.
pub struct Redis(redis::Connection);

impl Redis {
    /// By TLS, to a server whose certificate this authority signed.
    ///
    /// # Errors
    /// It cannot be reached, or lets nobody in.
    pub fn connect(url: &str, ca_file: &str) -> anyhow::Result<Self> {
        let root_cert = Some(std::fs::read(ca_file)?);
        let certificates = redis::TlsCertificates { client_tls: None, root_cert };
        let client = redis::Client::build_with_tls(url, certificates)?;
        Ok(Self(client.get_connection_with_timeout(STORE_TIMEOUT)?))
    }

    /// A command: its answer, or the word of the refusal.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn ask(&mut self, command: &[&str]) -> anyhow::Result<Result<String, String>> {
        let (name, arguments) = command.split_first().context("a command has a name")?;
        let mut asked = redis::cmd(name);
        for argument in arguments {
            asked.arg(argument);
        }
        match asked.query::<redis::Value>(&mut self.0) {
            Ok(answer) => Ok(Ok(shown(&answer))),
            Err(error) => match error.code() {
                Some(code) => Ok(Err(format!("{code} {}", error.detail().unwrap_or_default()))),
                None => Err(error.into()),
            },
        }
    }
}

fn shown(answer: &redis::Value) -> String {
    match answer {
        redis::Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        redis::Value::SimpleString(text) => text.clone(),
        redis::Value::Int(number) => number.to_string(),
        redis::Value::Nil => "nothing".to_owned(),
        redis::Value::Okay => "OK".to_owned(),
        other => format!("{other:?}"),
    }
}
