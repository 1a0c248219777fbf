//! A reply as a tree, for comparing; and the order of its parts where no server promises one.

use std::io::{self, BufRead, ErrorKind};

/// A reply. Lines keep their type byte, so `:1` and `+1` differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Frame {
    /// Everything that fits on a line: simple strings, errors, integers, doubles, nulls.
    Line(Vec<u8>),
    Bulk(Vec<u8>),
    /// An array, set, map (keys and values in turn) or push, with its type byte.
    Many(u8, Vec<Frame>),
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Frame::Line(line) => write!(f, "{}", line.escape_ascii()),
            Frame::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Frame::Many(tag, frames) => {
                write!(f, "{}", char::from(*tag))?;
                f.debug_list().entries(frames).finish()
            }
        }
    }
}

impl Frame {
    /// Reads one reply.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        if line.len() < 3 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the reply is cut off"));
        }
        line.truncate(line.len() - 2);
        let count = || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse::<i64>().ok());
        let count = |line: &[u8]| {
            count().ok_or_else(|| io::Error::other(format!("no count: {}", line.escape_ascii())))
        };
        Ok(match line[0] {
            b'$' | b'*' if line[1..] == *b"-1" => Frame::Line(line),
            b'$' | b'=' => {
                let mut bytes = vec![0; count(&line)? as usize + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Frame::Bulk(bytes)
            }
            b'*' | b'~' | b'%' | b'>' => {
                let parts = count(&line)? * if line[0] == b'%' { 2 } else { 1 };
                Frame::Many(line[0], (0..parts).map(|_| Frame::read(from)).collect::<io::Result<_>>()?)
            }
            _ => Frame::Line(line),
        })
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Frame::Line(line) if line[0] == b':' => std::str::from_utf8(&line[1..]).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The parts of an array, set or map; none for anything else.
    pub fn parts(&self) -> &[Frame] {
        match self {
            Frame::Many(_, parts) => parts,
            _ => &[],
        }
    }

    /// Text of a line or a bulk string, without the type byte.
    pub fn text(&self) -> String {
        match self {
            Frame::Line(line) => String::from_utf8_lossy(&line[1..]).into_owned(),
            Frame::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Frame::Many(..) => format!("{self:?}"),
        }
    }

    /// The same with its parts sorted; `paired` keeps each with the one behind it.
    pub fn sorted(&self, paired: bool) -> Frame {
        let Frame::Many(tag, parts) = self else { return self.clone() };
        let mut chunks: Vec<&[Frame]> = parts.chunks(if paired { 2 } else { 1 }).collect();
        chunks.sort();
        Frame::Many(*tag, chunks.concat())
    }

    /// The same with zeros that have no sign: Redis keeps or loses that of a score by its sorted set's encoding.
    pub fn unsigned(&self) -> Frame {
        match self {
            Frame::Line(line) if line == b",-0" => Frame::Line(b",0".to_vec()),
            Frame::Bulk(bytes) if bytes == b"-0" => Frame::Bulk(b"0".to_vec()),
            Frame::Many(tag, parts) => Frame::Many(*tag, parts.iter().map(Frame::unsigned).collect()),
            other => other.clone(),
        }
    }

    /// What is left of a reply that is drawn at random: kinds and sizes.
    pub fn shape(&self) -> Frame {
        match self {
            Frame::Bulk(_) => Frame::Bulk(Vec::new()),
            Frame::Line(line) if line[0] == b',' => Frame::Line(b",".to_vec()),
            Frame::Many(tag, parts) => Frame::Many(*tag, parts.iter().map(Frame::shape).collect()),
            Frame::Line(_) => self.clone(),
        }
    }
}
