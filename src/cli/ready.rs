//! `ready`: asks the running server whether it is ready, for whatever starts it and has no shell beside it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Request;

use crate::cli::client::{Client, Target, reach};
use crate::cli::operator::clean;
use crate::cli::{Common, Exit, Failure, Machine, process};

/// A server that takes longer is not ready.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Ask the running server of this configuration whether it is ready (GET /readyz); exit code 1 if it is not.
///
/// For the health check of a container that has no shell and no curl.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  flux-gate ready
  flux-gate ready --worker
  flux-gate ready --url https://gate.example:3000 --ca ca.pem")]
pub(super) struct Ready {
    /// A worker, which answers at admin.listen; a node answers at http.listen.
    #[arg(long)]
    worker: bool,
    /// Another listener.
    #[arg(long, value_name = "URL", conflicts_with = "worker")]
    url: Option<Target>,
    /// Certificates (PEM) to trust, beside those of the machine and the server's own.
    #[arg(long, alias = "ca", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Ready {
    pub(super) fn run(self, machine: &mut Machine<'_>, common: &Common) -> Result<Exit, Failure> {
        let config = common.load(machine, Vec::new())?.config;
        let own = if self.worker {
            reach(config.admin.listen, false)
        } else {
            reach(config.http.listen, config.http.tls_cert_file.is_some())
        };
        let trusted: Vec<_> =
            self.ca_file.iter().chain(&config.http.tls_cert_file).map(PathBuf::as_path).collect();
        let client = Client::new(self.url.unwrap_or(own), &trusted, TIMEOUT)?;
        let request = Request::get("/readyz").body(Bytes::new())?;
        let reply = process::runtime()?.block_on(client.send(request))?;
        let said = String::from_utf8_lossy(&reply.body);
        let said = clean(said.trim());
        if !reply.status.is_success() {
            return Err(Failure::new(format!("not ready ({}): {said}", reply.status.as_u16())));
        }
        writeln!(machine.out, "{said}")?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::Exit;
    use crate::cli::sale::tests::against_command;
    use crate::cli::tests::call;

    #[test]
    fn a_server_that_is_not_ready_or_not_there_fails() {
        let (called, request) = against_command("ready", "200 OK", "{\"ready\":1}", &[]);
        assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
        assert_eq!((called.exit, called.out.as_str()), (Exit::Done, "{\"ready\":1}\n"));
        let (called, _) = against_command("ready", "503 Service Unavailable", "{}", &[]);
        assert_eq!((called.exit, called.message.as_str()), (Exit::Failed, "not ready (503): {}"));
        let called = call(&["ready", "--worker"], &[("FLUX_GATE__ADMIN__LISTEN", "127.0.0.1:1")]);
        assert_eq!(called.exit, Exit::Failed);
        assert!(called.message.contains("127.0.0.1:1 cannot be reached"), "{}", called.message);
    }
}
