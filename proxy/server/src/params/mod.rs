//! The parameters of CONFIG, under Redis's names. [`table`] has one row for each: name, form, how it is read and
//! changed. A row takes effect, or is so for good, or is refused with the reason; none is accepted and ignored.
//!
//! A parameter of a feature is added as one row; its value lives in [`Params`] or with the feature's own state in
//! [`Shared`]. Workers look at what they keep copies of when [`Params::changed`] was called.

mod file;
mod form;
mod start;
mod table;
mod values;

use crate::secrets::REDACTED;
use crate::shared::Shared;

pub(crate) use file::quoted;
pub(crate) use form::Form;
pub(crate) use start::{load, written};
pub(crate) use table::PARAMS;
pub(crate) use values::Params;

/// One parameter.
pub(crate) struct Param {
    pub(crate) name: &'static str,
    /// An older name of the same thing.
    pub(crate) alias: Option<&'static str>,
    pub(crate) form: Form,
    pub(crate) access: Access,
    /// Its values belong into no log and no MONITOR.
    pub(crate) secret: bool,
}

/// How a parameter is read and changed.
pub(crate) enum Access {
    /// A number, or the place of a word in its list, or 0 and 1 for no and yes.
    Number { get: fn(&Shared) -> i64, set: fn(&Shared, i64) },
    /// A text. `check` says what is wrong with it before anything is changed; `set` may still fail, then what was set
    /// before it in the same CONFIG SET is set back.
    Text {
        get: fn(&Shared) -> Vec<u8>,
        check: fn(&Shared, &[u8]) -> Result<(), String>,
        set: fn(&Shared, &[u8]) -> Result<(), String>,
    },
    /// Decided at the start.
    Fixed(fn(&Shared) -> String),
    /// The process around the proxy has it (certificates): those of one CONFIG SET are changed together, see
    /// [`crate::Hooks::set_tls`].
    Process,
    /// Is so and stays so: this value is accepted, any other refused with the reason.
    Held { value: &'static str, reason: &'static str },
}

/// A change that has been checked.
enum Change {
    Number(i64),
    Text(Vec<u8>),
    Nothing,
}

impl Change {
    fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::Nothing => &[],
        }
    }
}

/// Why CONFIG SET changes nothing: the parameter, and the reason in Redis's words where Redis has any.
#[derive(Debug)]
pub(crate) enum Refused {
    Unknown(Vec<u8>),
    Wrong { name: &'static str, why: String },
}

/// The parameter of this name, in any case of letters.
pub(crate) fn find(name: &[u8]) -> Option<&'static Param> {
    let is = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
    PARAMS.iter().find(|param| is(param.name) || param.alias.is_some_and(is))
}

impl Param {
    /// The value as CONFIG GET shows it.
    pub(crate) fn value(&self, shared: &Shared) -> Vec<u8> {
        let value = self.real_value(shared);
        if self.secret && !value.is_empty() { REDACTED.to_vec() } else { value }
    }

    fn real_value(&self, shared: &Shared) -> Vec<u8> {
        match &self.access {
            Access::Number { get, .. } => self.form.show(get(shared)).into_bytes(),
            Access::Text { get, .. } => get(shared),
            Access::Fixed(get) => get(shared).into_bytes(),
            Access::Process => shared.config.hooks.tls_setting(self.name).unwrap_or_default().into_bytes(),
            Access::Held { value, .. } => value.as_bytes().to_vec(),
        }
    }

    /// Both names, the older one last.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.alias)
    }

    fn check(&self, shared: &Shared, text: &[u8]) -> Result<Change, String> {
        match &self.access {
            Access::Fixed(_) => Err("can't set immutable config".into()),
            Access::Number { .. } => self.form.parse(text).map(Change::Number),
            Access::Text { check, .. } => check(shared, text).map(|()| Change::Text(text.to_vec())),
            Access::Process => Ok(Change::Text(text.to_vec())),
            Access::Held { value, reason } => {
                let same = match self.form {
                    Form::Text => text == value.as_bytes(),
                    _ => self.form.parse(text)? == self.form.parse(value.as_bytes()).unwrap_or_default(),
                };
                if same { Ok(Change::Nothing) } else { Err((*reason).to_owned()) }
            }
        }
    }

    fn make(&self, shared: &Shared, change: &Change) -> Result<(), String> {
        match (&self.access, change) {
            (Access::Number { set, .. }, Change::Number(value)) => set(shared, *value),
            (Access::Text { set, .. }, Change::Text(text)) => set(shared, text)?,
            _ => {}
        }
        Ok(())
    }
}

/// Sets parameters, all of them or none: every pair is checked before any is set, and what is set is set back when a
/// later one fails.
///
/// # Errors
/// The first pair that can't be set.
pub(crate) fn set<'a>(
    shared: &Shared,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), Refused> {
    let mut changes: Vec<(&'static Param, Change)> = Vec::new();
    for (name, text) in pairs {
        let Some(param) = find(name) else { return Err(Refused::Unknown(name.to_vec())) };
        let shown = param.names().find(|known| known.as_bytes().eq_ignore_ascii_case(name));
        let wrong = |why| Refused::Wrong { name: shown.unwrap_or(param.name), why };
        if changes.iter().any(|(other, _)| other.name == param.name) {
            return Err(wrong("duplicate parameter".into()));
        }
        changes.push((param, param.check(shared, text).map_err(wrong)?));
    }
    let before: Vec<Vec<u8>> = changes.iter().map(|(param, _)| param.real_value(shared)).collect();
    let of_process = |texts: &[Vec<u8>]| -> Vec<(&str, String)> {
        let process =
            changes.iter().zip(texts).filter(|((param, _), _)| matches!(param.access, Access::Process));
        process.map(|((param, _), text)| (param.name, String::from_utf8_lossy(text).into_owned())).collect()
    };
    let texts: Vec<Vec<u8>> = changes.iter().map(|(_, change)| change.text().to_vec()).collect();
    let process = of_process(&texts);
    if let Some((name, _)) = process.first() {
        shared.config.hooks.set_tls(&process).map_err(|why| Refused::Wrong { name, why })?;
    }
    let mut failed = None;
    for (at, (param, change)) in changes.iter().enumerate() {
        if let Err(why) = param.make(shared, change) {
            for ((param, _), value) in changes.iter().zip(&before).take(at).rev() {
                let back = param.check(shared, value).and_then(|change| param.make(shared, &change));
                if let Err(why) = back {
                    tracing::warn!(parameter = param.name, %why, "could not be set back");
                }
            }
            if !process.is_empty()
                && let Err(why) = shared.config.hooks.set_tls(&of_process(&before))
            {
                tracing::warn!(%why, "the certificates could not be set back");
            }
            failed = Some(Refused::Wrong { name: param.name, why });
            break;
        }
    }
    if failed.is_none() {
        let mut set = shared.params.set_names.lock();
        set.extend(
            changes
                .iter()
                .filter(|(_, change)| !matches!(change, Change::Nothing))
                .map(|(param, _)| param.name),
        );
    }
    shared.params.changed();
    failed.map_or(Ok(()), Err)
}
