//! Which parts of a checkpoint are the tensors of a model.

use std::collections::BTreeMap;

use super::{
    element::Element,
    pickle::{Id, Node},
    view::View,
};

/// No checkpoint has so many entries; a graph that refers to itself has.
const MOST_VISITS: usize = 1_000_000;

/// The deepest nesting that a checkpoint can have.
const DEEPEST: usize = 16;

/// The longest name of a tensor or metadatum.
const LONGEST_NAME: usize = 1024;

/// What the pickle built.
#[derive(Clone, Copy)]
pub(super) struct Graph<'a> {
    pub(super) nodes: &'a [Node],
}

impl<'a> Graph<'a> {
    fn node(&self, id: Id) -> &'a Node {
        &self.nodes[id as usize]
    }

    /// The part of a checkpoint that holds the model's tensors.
    pub(super) fn state(&self, mut root: Id) -> Id {
        for _ in 0..DEEPEST {
            let Node::Dict(items) = self.node(root) else { return root };
            let holds_no_tensors = |id: Id| {
                // Whatever is wrong with it shows again when it is read.
                Walk::through(*self, id).is_ok_and(|views| views.is_empty())
            };
            let parts: Vec<(&str, Id)> = items
                .iter()
                .filter(|(_, value)| matches!(self.node(*value), Node::Dict(_)) && !holds_no_tensors(*value))
                .filter_map(|&(key, value)| Some((self.text(key)?, value)))
                .collect();
            let loose = items.iter().any(|&(_, value)| matches!(self.tensor(value), Ok(Some(_)) | Err(_)));
            let named = ["state_dict", "model_state_dict", "model", "net"]
                .iter()
                .find_map(|name| parts.iter().find(|(key, _)| key == name));
            root = match (loose, parts.as_slice(), named) {
                (false, [(_, only)], _) => *only,
                (false, _, Some((_, id))) => *id,
                _ => return root,
            };
        }
        root
    }

    /// The numbers and short texts at the top of a checkpoint.
    pub(super) fn settings(&self, root: Id) -> BTreeMap<String, String> {
        let Node::Dict(items) = self.node(root) else { return BTreeMap::new() };
        let value = |id| match self.node(id) {
            Node::Bool(value) => Some(value.to_string()),
            Node::Int(value) => Some(value.to_string()),
            Node::Float(value) => Some(format!("{value:?}")),
            Node::Text(value) if value.len() <= LONGEST_NAME => Some(value.clone()),
            _ => None,
        };
        let pair = |&(key, id): &(Id, Id)| Some((self.text(key)?.to_owned(), value(id)?));
        items.iter().filter_map(pair).filter(|(key, _)| key.len() <= LONGEST_NAME).collect()
    }

    fn text(&self, id: Id) -> Option<&'a str> {
        if let Node::Text(text) = self.node(id) { Some(text) } else { None }
    }

    /// The tensor that a node stands for, if it does.
    fn tensor(&self, id: Id) -> Result<Option<View>, String> {
        let Node::Call(function, arguments) = self.node(id) else { return Ok(None) };
        let (Node::Global(function), Node::Tuple(arguments)) = (self.node(*function), self.node(*arguments))
        else {
            return Ok(None);
        };
        match (function.as_str(), arguments.as_slice()) {
            // Arguments are made before the call that takes them, so this comes to an end.
            ("torch._utils._rebuild_parameter", &[data, ..]) if data < id => self.tensor(data),
            (
                "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor",
                &[storage, offset, shape, strides, ..],
            ) => self.view(storage, offset, shape, strides).map(Some),
            (name, _)
                if name.starts_with("torch._utils._rebuild")
                    || name == "torch._tensor._rebuild_from_type_v2" =>
            {
                Err(format!("a tensor is made by {name} in a way that is not known"))
            }
            _ => Ok(None),
        }
    }

    fn view(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Result<View, String> {
        let unclear = || "a tensor is described in a way that is not known".to_owned();
        let Node::Persistent(storage) = self.node(storage) else { return Err(unclear()) };
        let Node::Tuple(storage) = self.node(*storage) else { return Err(unclear()) };
        let &[tag, class, key, _device, _length] = storage.as_slice() else { return Err(unclear()) };
        let (Some("storage"), Node::Global(class), Some(key)) =
            (self.text(tag), self.node(class), self.text(key))
        else {
            return Err(unclear());
        };
        let element = match class.as_str() {
            "torch.FloatStorage" => Element::F32,
            "torch.HalfStorage" => Element::F16,
            "torch.BFloat16Storage" => Element::BF16,
            "torch.DoubleStorage" => Element::F64,
            "torch.LongStorage" => Element::I64,
            "torch.IntStorage" => Element::I32,
            "torch.ShortStorage" => Element::I16,
            "torch.CharStorage" => Element::I8,
            "torch.ByteStorage" => Element::U8,
            "torch.BoolStorage" => Element::Bool,
            other => return Err(format!("a tensor is stored as {other}, which is not read")),
        };
        let (shape, strides) = (self.lengths(shape)?, self.lengths(strides)?);
        let &Node::Int(offset) = self.node(offset) else { return Err(unclear()) };
        let offset = usize::try_from(offset).map_err(|_| unclear())?;
        if shape.len() != strides.len() || shape.len() > 8 || key.len() > LONGEST_NAME {
            return Err(unclear());
        }
        Ok(View { element, storage: key.to_owned(), offset, shape, strides })
    }

    /// A tuple of lengths or strides.
    fn lengths(&self, id: Id) -> Result<Vec<usize>, String> {
        let length = |&id: &Id| match self.node(id) {
            Node::Int(length) => usize::try_from(*length).ok(),
            _ => None,
        };
        let lengths = match self.node(id) {
            Node::Tuple(items) if items.len() <= 8 => items.iter().map(length).collect(),
            _ => None,
        };
        lengths.ok_or_else(|| "the shape of a tensor is no list of lengths".into())
    }
}

/// A walk through the graph that gathers tensors under dotted names.
pub(super) struct Walk<'a> {
    graph: Graph<'a>,
    views: BTreeMap<String, View>,
    budget: usize,
}

impl<'a> Walk<'a> {
    /// All tensors from node `root` on.
    pub(super) fn through(graph: Graph<'a>, root: Id) -> Result<BTreeMap<String, View>, String> {
        let mut walk = Self { graph, views: BTreeMap::new(), budget: MOST_VISITS };
        walk.collect(root, "", 0)?;
        Ok(walk.views)
    }

    fn collect(&mut self, id: Id, name: &str, depth: usize) -> Result<(), String> {
        self.budget = self.budget.checked_sub(1).ok_or("the checkpoint has too many entries")?;
        if depth > DEEPEST {
            return Err(format!("the checkpoint is nested more than {DEEPEST} deep"));
        }
        if let Some(view) = self.graph.tensor(id)? {
            self.views.insert(name.to_owned(), view);
            return Ok(());
        }
        let join = |key: &str| {
            let joined = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
            if joined.len() > LONGEST_NAME { Err("the name of an entry is too long") } else { Ok(joined) }
        };
        match self.graph.node(id) {
            Node::Dict(items) => {
                for &(key, value) in items {
                    let key = match self.graph.node(key) {
                        Node::Text(key) if key.len() > LONGEST_NAME => {
                            return Err("the name of an entry is too long".into());
                        }
                        Node::Text(key) => key.clone(),
                        Node::Int(key) => key.to_string(),
                        _ => continue,
                    };
                    self.collect(value, &join(&key)?, depth + 1)?;
                }
            }
            Node::List(items) | Node::Tuple(items) => {
                for (index, &item) in items.iter().enumerate() {
                    self.collect(item, &join(&index.to_string())?, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
