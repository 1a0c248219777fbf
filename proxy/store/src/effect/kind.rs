//! The numbers of the effects. They are in every log ever written: never changed, never reused.

/// Which effect a byte sequence is. Gaps leave room beside each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EffectKind {
    Delete = 1,
    Put = 2,
    SetString = 3,
    AppendString = 4,
    SetRange = 5,
    ExpireAt = 6,
    Persist = 7,
    HashSet = 16,
    HashDelete = 17,
    ListPush = 24,
    ListPop = 25,
    ListSet = 26,
    ListInsert = 27,
    ListRemove = 28,
    ListTrim = 29,
    SetAdd = 32,
    SetRemove = 33,
    ZSetAdd = 40,
    ZSetRemove = 41,
    FlushDatabase = 128,
    SwapDatabases = 129,
}

impl EffectKind {
    /// Every kind, ascending.
    pub const ALL: [Self; 21] = [
        Self::Delete,
        Self::Put,
        Self::SetString,
        Self::AppendString,
        Self::SetRange,
        Self::ExpireAt,
        Self::Persist,
        Self::HashSet,
        Self::HashDelete,
        Self::ListPush,
        Self::ListPop,
        Self::ListSet,
        Self::ListInsert,
        Self::ListRemove,
        Self::ListTrim,
        Self::SetAdd,
        Self::SetRemove,
        Self::ZSetAdd,
        Self::ZSetRemove,
        Self::FlushDatabase,
        Self::SwapDatabases,
    ];

    /// The kind with this number.
    #[inline]
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Delete,
            2 => Self::Put,
            3 => Self::SetString,
            4 => Self::AppendString,
            5 => Self::SetRange,
            6 => Self::ExpireAt,
            7 => Self::Persist,
            16 => Self::HashSet,
            17 => Self::HashDelete,
            24 => Self::ListPush,
            25 => Self::ListPop,
            26 => Self::ListSet,
            27 => Self::ListInsert,
            28 => Self::ListRemove,
            29 => Self::ListTrim,
            32 => Self::SetAdd,
            33 => Self::SetRemove,
            40 => Self::ZSetAdd,
            41 => Self::ZSetRemove,
            128 => Self::FlushDatabase,
            129 => Self::SwapDatabases,
            _ => return None,
        })
    }
}
