//! The documents say what the program says.

use flux_gate::config::print;

#[test]
fn the_configuration_reference_is_the_programs_own() {
    let document = include_str!("../../docs/CONFIGURATION.md");
    assert!(
        document.ends_with(&print::reference()),
        "docs/CONFIGURATION.md ends with the output of `flux-gate config reference`: write it anew"
    );
}
