//! Programs that a step needs: installed on Debian as root, else named.

use crate::stack;
use crate::test::runs;

/// What is to be installed first; `None` if nothing. `needed` are programs with Debian's packages of them, `beside` are
/// packages that come with them.
pub fn missing(needed: &[(&str, &str)], beside: &[&str]) -> anyhow::Result<Option<String>> {
    let absent = || needed.iter().filter(|(program, _)| !runs(program, &["--version"]));
    if absent().next().is_some() && stack::can_install() {
        let packages: Vec<_> = absent().map(|(_, package)| *package).collect();
        stack::install(&[&packages, beside].concat())?;
    }
    let packages: Vec<_> = absent().map(|(_, package)| *package).collect();
    Ok((!packages.is_empty())
        .then(|| format!("not installed (Debian: apt-get install {})", packages.join(" "))))
}
