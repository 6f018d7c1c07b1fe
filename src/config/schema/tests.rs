//! The table of keys is what the structs hold.

use super::*;

/// What serde itself says that the table of this name may hold.
fn fields_of(toml_with_unknown_key: &str) -> Vec<String> {
    let error = toml::from_str::<Config>(toml_with_unknown_key).unwrap_err();
    let (_, list) = error.message().split_once("expected ").unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_table_holds_exactly_the_fields_of_the_structs() {
    let mut of_structs = Vec::new();
    for section in fields_of("?? = 1".replace("??", "x_x").as_str()) {
        if ["jwt", "clients"].contains(&section.as_str()) {
            of_structs.push(section);
            continue;
        }
        let unknown = format!("[{section}]\nx_x = 1");
        of_structs.extend(fields_of(&unknown).iter().map(|f| format!("{section}.{f}")));
    }
    let mut of_table: Vec<String> =
        KEYS.iter().map(|k| k.name).chain(ROWS.iter().map(|r| r.name)).map(Into::into).collect();
    of_structs.sort();
    of_table.sort();
    assert_eq!(of_table, of_structs);
    for rows in ROWS {
        let of_row: Vec<_> = rows.fields.iter().map(|field| field.name.to_owned()).collect();
        assert_eq!(of_row, fields_of(&format!("[[{}]]\nx_x = 1", rows.name)));
    }
}

#[test]
fn every_default_is_within_its_range() {
    let config = Config::default();
    for key in KEYS {
        if let Read::Number { get, min, max } = key.read {
            assert!((min..=max).contains(&get(&config)), "{}", key.name);
        }
    }
}

#[test]
fn a_variable_is_named_after_its_key() {
    assert_eq!(variable("limits.ip_per_second"), "FLUX_GATE__LIMITS__IP_PER_SECOND");
}
