//! The commands as a whole: arguments in, output and exit code out.

use super::*;

/// What a call came to.
#[derive(Debug)]
pub(super) struct Called {
    pub exit: Exit,
    pub out: String,
    pub message: String,
}

/// The time of every call: 2026-12-01T09:00:00Z.
pub(super) const NOW_MS: i64 = 1_796_115_600_000;

/// Calls the program, its randomness being all sevens.
pub(super) fn call(arguments: &[&str], environment: &[(&str, &str)]) -> Called {
    let mut out = Vec::new();
    let mut machine = Machine {
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        clock: Clock::manual(NOW_MS),
        fill: &|bytes| {
            bytes.fill(7);
            Ok(())
        },
        out: &mut out,
    };
    let arguments = std::iter::once("flux-gate").chain(arguments.iter().copied());
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli, &mut machine),
        Err(error) => Err(Failure { exit: Exit::Usage, message: error.to_string() }),
    };
    let (exit, message) = match result {
        Ok(exit) => (exit, String::new()),
        Err(failure) => (failure.exit, failure.message),
    };
    Called { exit, out: String::from_utf8(out).unwrap(), message }
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn help_has_the_exit_codes_and_an_example_for_every_command() {
    use clap::CommandFactory;
    let mut command = Cli::command();
    let help = command.render_long_help().to_string();
    assert!(help.contains("70  the store failed"), "{help}");
    command.build();
    for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
        let help = sub.render_long_help().to_string();
        assert!(help.contains("Example"), "{}", sub.get_name());
    }
}

#[test]
fn a_wrong_command_line_is_usage() {
    for arguments in [&["serv"][..], &["sale", "show", "Not A Product"], &["sale", "create", "p"]] {
        assert_eq!(call(arguments, &[]).exit, Exit::Usage, "{arguments:?}");
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Store].map(ExitCode::from);
    let expected = [0, 1, 2, 70].map(ExitCode::from);
    assert_eq!(format!("{codes:?}"), format!("{expected:?}"));
}

#[test]
fn config_check_tells_all_and_print_shows_no_secret() {
    let token = ("FLUX_GATE__ADMIN__TOKEN", "secret-of-the-test-0123456789");
    let fine = call(&["config", "check"], &[token]);
    assert_eq!((fine.exit, fine.out.as_str()), (Exit::Done, "the configuration is fine\n"));
    let open = call(&["config", "check"], &[("FLUX_GATE__ADMIN__LISTEN", "0.0.0.0:3001")]);
    assert!(open.exit == Exit::Done && open.out.contains("warning: "), "{open:?}");
    let wrong = call(&["config", "check"], &[("FLUX_GATE__LIMITS__IP_BURST", "0")]);
    assert!(wrong.exit == Exit::Failed && wrong.message.contains("limits.ip_burst"), "{wrong:?}");
    let services = call(&["config", "check"], &[("REDIS_URL", "redis://u:p@h")]);
    assert!(services.exit == Exit::Failed && !services.message.contains("u:p"), "{services:?}");

    for arguments in [&["config", "print"][..], &["config", "print", "--json"]] {
        let printed = call(arguments, &[token, ("FLUX_GATE__DATA__DIR", "elsewhere")]);
        assert_eq!(printed.exit, Exit::Done);
        assert!(!printed.out.contains("secret-of-the-test") && printed.out.contains("[set]"));
        assert!(printed.out.contains("FLUX_GATE__DATA__DIR"), "{}", printed.out);
    }
}

#[test]
fn serve_refuses_parts_that_are_not_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let environment = [("DATABASE_URL", "postgres://h")];
    let called = call(&["serve", "--data", data.to_str().unwrap()], &environment);
    assert!(called.exit == Exit::Failed && called.message.contains("DATABASE_URL"), "{called:?}");
    assert!(!data.exists(), "nothing was made");
}

#[test]
fn keygen_makes_what_the_configuration_takes() {
    let of_env = |arguments: &[&str]| -> Vec<(String, String)> {
        let out = call(arguments, &[]).out;
        let pair = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        out.lines().map(|line| pair(line).unwrap()).collect()
    };
    let mut environment = of_env(&["keygen"]);
    environment.extend(of_env(&["keygen", "--client", "shop"]));
    let borrowed: Vec<_> = environment.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(borrowed.len(), 5);
    let checked = call(&["config", "check"], &borrowed);
    assert_eq!(checked.exit, Exit::Done, "{checked:?}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.toml");
    let rows = ["keygen", "--operator", "ann", "--role", "operator"];
    let text = call(&["keygen", "--toml"], &[]).out
        + &call(&["keygen", "--toml", "--client", "shop"], &[]).out
        + &call(&rows, &[]).out;
    std::fs::write(&file, &text).unwrap();
    let checked = call(&["config", "check", "--config", file.to_str().unwrap()], &[]);
    assert_eq!(checked.exit, Exit::Done, "{checked:?}");
    let hash = hex::encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        "07".repeat(32).as_bytes(),
    ));
    assert!(text.contains(&hash), "the hash is that of the token");
}
