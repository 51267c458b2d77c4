//! Small networks with every kind of layer.

use crate::Case;
use chainrule_kernels::layers::Layer;
use chainrule_kernels::loss::Loss;
use chainrule_kernels::network::stack::Stack;

const NAMES: [&str; 12] = [
    "affine",
    "relu",
    "convolution",
    "max_pooling",
    "average_pooling",
    "batch_norm",
    "layer_norm",
    "dropout",
    "sigmoid",
    "leaky_relu",
    "tanh",
    "scale",
];

/// Up to six layers over small images, each fitting the one before it, and a loss.
pub fn network(case: &mut Case<'_>) -> (Stack, Loss) {
    let mut image = Some([1 + case.size(2), 1 + case.size(5), 1 + case.size(5)]);
    let features = image.iter().flatten().product();
    let (mut width, mut layers) = (features, vec![]);
    for _ in 0..case.size(6) {
        if let Some((next, behind)) = layer(case, width, image) {
            (width, image) = (next.outputs(width), behind);
            layers.push(next);
        }
    }
    let loss = case.one_of(&[Loss::Softmax, Loss::Squared, Loss::Sigmoid]);
    (Stack::new(features, layers, loss), loss)
}

/// The shape of an image: channels, rows and columns; `None` after a layer whose output is not an image.
type Image = Option<[usize; 3]>;

/// A layer for rows of `inputs` numbers, and the shape of its output.
fn layer(case: &mut Case<'_>, inputs: usize, image: Image) -> Option<(Layer, Image)> {
    let name = case.one_of(&NAMES);
    let number = case.one_of(&[0.5, 0.1, 0.9, 0.0, 1.0]);
    let (sizes, behind) = match (name, image) {
        ("affine", _) => (vec![case.size(20)], None),
        ("layer_norm", _) => (vec![inputs], image),
        ("batch_norm", None) => (vec![inputs, 1], None),
        ("batch_norm", Some([channels, rows, columns])) => (vec![channels, rows * columns], image),
        ("convolution" | "max_pooling" | "average_pooling", Some([channels, rows, columns])) => {
            let [height, width, stride] = [(); 3].map(|()| 1 + case.size(2));
            let pad = case.size(height.min(width) - 1);
            let along = |size: usize, window: usize| Some(1 + (size + 2 * pad).checked_sub(window)? / stride);
            let filters = if name == "convolution" { case.size(3) } else { channels };
            let behind = [filters, along(rows, height)?, along(columns, width)?];
            let window = [channels, rows, columns, height, width, stride, pad];
            let sizes = if name == "convolution" { [&[filters], &window[..]].concat() } else { window.to_vec() };
            (sizes, Some(behind))
        }
        ("convolution" | "max_pooling" | "average_pooling", None) => return None,
        _ => (vec![], image),
    };
    let numbers: &[f64] = match name {
        "leaky_relu" => &[0.1],
        "batch_norm" | "dropout" | "scale" => &[number],
        _ => &[],
    };
    Some((Layer::from_description(name, &sizes, numbers)?, behind))
}
