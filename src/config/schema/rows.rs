//! The arrays of tables of the file: API clients, issuers of JWTs, operators' tokens.

/// An array of tables: it is set in the file alone.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// `clients`, `jwt` or `admin.tokens`.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field of a row.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: FieldKind,
    /// Whether a row must have it.
    pub required: bool,
}

/// The kind of a field. Checked before serde sees the value, since serde's message would repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A text, or a secret text.
    Text,
    /// A list of texts or of secret texts.
    Texts,
    /// `true` or `false`.
    Bool,
}

const fn field(name: &'static str, kind: FieldKind, required: bool) -> Field {
    Field { name, kind, required }
}

/// Every array of tables.
pub static ROWS: &[Rows] = &[
    Rows {
        name: "clients",
        fields: &[
            field("id", FieldKind::Text, true),
            field("secrets", FieldKind::Texts, true),
            field("roles", FieldKind::Texts, false),
            field("name_space", FieldKind::Text, false),
        ],
    },
    Rows {
        name: "jwt",
        fields: &[
            field("issuer", FieldKind::Text, true),
            field("audience", FieldKind::Text, true),
            field("algorithm", FieldKind::Text, true),
            field("key", FieldKind::Text, false),
            field("key_file", FieldKind::Text, false),
            field("jwks_file", FieldKind::Text, false),
            field("user_claim", FieldKind::Text, false),
            field("hash_user", FieldKind::Bool, false),
            field("name_space", FieldKind::Text, false),
        ],
    },
    Rows {
        name: "admin.tokens",
        fields: &[
            field("name", FieldKind::Text, true),
            field("role", FieldKind::Text, true),
            field("token_sha256", FieldKind::Text, true),
        ],
    },
];

/// The array of tables of that name.
pub fn rows(name: &str) -> Option<&'static Rows> {
    ROWS.iter().find(|rows| rows.name == name)
}
