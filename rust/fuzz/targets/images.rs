//! Convolution and pooling, forward and backward, against loops over every place, filter and pixel.

#![no_main]

use chainrule_fuzz::{Case, Kind, Sum};
use chainrule_kernels::layers::{alone, Draws, Layer, Mode, Pass};
use chainrule_kernels::Float;
use libfuzzer_sys::fuzz_target;

/// A window over an image, from first principles.
struct Shape {
    sizes: [usize; 7],
    places: (usize, usize),
}

impl Shape {
    /// Call `see(place, number under the window, pixel)` for each channel, each place, and each pixel under it that is
    /// in the image.
    fn each(&self, mut see: impl FnMut(usize, (usize, usize), usize)) {
        let [channels, rows, columns, height, width, stride, pad] = self.sizes;
        let along =
            |place: usize, at: usize, size: usize| (place * stride + at).checked_sub(pad).filter(|&at| at < size);
        for channel in 0..channels {
            for (y, x) in (0..self.places.0).flat_map(|y| (0..self.places.1).map(move |x| (y, x))) {
                for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
                    if let (Some(row), Some(column)) = (along(y, i, rows), along(x, j, columns)) {
                        let pixel = (channel * rows + row) * columns + column;
                        see(channel, (y * self.places.1 + x, (channel * height + i) * width + j), pixel);
                    }
                }
            }
        }
    }
}

/// A pass that remembers places, and nothing else.
fn pass<T>(places: &mut [u32]) -> Pass<'_, T> {
    Pass { mode: Mode::Train(Draws::default()), numbers: &mut [], places }
}

fn images<T: Float>(case: &mut Case<'_>) {
    let level = case.level();
    let (channels, rows, columns) = (1 + case.size(3), 1 + case.size(6), 1 + case.size(6));
    let (stride, pad) = (1 + case.size(3), case.size(3));
    let (height, width) = (1 + case.size(4), 1 + case.size(4));
    let sizes = [channels, rows, columns, height, width, stride, pad];
    let (n, filters) = (case.one_of(&[1, 1, 2, 2, 3, 3, 5, 16, 17, 33]), case.size(5));
    let name = case.one_of(&["convolution", "max_pooling", "average_pooling"]);
    let all = [&[filters][..], &sizes].concat();
    let convolution = name == "convolution";
    if !convolution && height.min(width) <= pad {
        return; // some places have no pixel, which pooling does not allow
    }
    let described = Layer::from_description(name, &all[usize::from(!convolution)..], &[]);
    let fits = rows + 2 * pad >= height && columns + 2 * pad >= width;
    assert_eq!(described.is_some(), fits);
    let Some(layer) = described else { return };
    let places = (1 + (rows + 2 * pad - height) / stride, 1 + (columns + 2 * pad - width) / stride);
    let (shape, inputs, positions) = (Shape { sizes, places }, channels * rows * columns, places.0 * places.1);
    let (outputs, numbers, remembered) = alone::sizes(layer, n, inputs).unwrap();
    assert_eq!((outputs, numbers), (positions * if convolution { filters } else { channels }, 0));
    let tame = case.tame();
    let (x, d) = (case.numbers::<T>(tame, n * inputs), case.numbers::<T>(Kind::Plain, n * outputs));
    let under = channels * height * width;
    let counts: &[usize] = if convolution { &[filters * under, filters] } else { &[] };
    let arrays: Vec<Vec<T>> = counts.iter().map(|&count| case.numbers(tame, count)).collect();
    let arrays: Vec<&[T]> = arrays.iter().map(Vec::as_slice).collect();
    let (mut out, mut d_x) = (vec![T::nan(); n * outputs], vec![T::nan(); n * inputs]);
    let mut d_params: Vec<_> = counts.iter().map(|&count| vec![T::nan(); count]).collect();
    let mut places = vec![u32::MAX; remembered];
    alone::forward(level, layer, &arrays, (n, inputs), &x, &mut out, pass(&mut places)).unwrap();
    let mut borrowed: Vec<&mut [T]> = d_params.iter_mut().map(Vec::as_mut_slice).collect();
    alone::backward(level, layer, &arrays, (n, inputs), &x, &d, &mut d_x, &mut borrowed, pass(&mut places)).unwrap();

    let mut sums = vec![Sum::default(); n * outputs];
    let mut back = vec![Sum::default(); n * inputs];
    let mut d_sums: Vec<_> = counts.iter().map(|&count| vec![Sum::default(); count]).collect();
    let mut pixels = vec![0; outputs];
    if !convolution {
        shape.each(|channel, (place, _), _| pixels[channel * positions + place] += 1);
    }
    for image in 0..n {
        let (x, out) = (&x[image * inputs..][..inputs], &out[image * outputs..][..outputs]);
        let (d, sums) = (&d[image * outputs..][..outputs], &mut sums[image * outputs..][..outputs]);
        let back = &mut back[image * inputs..][..inputs];
        if name == "max_pooling" {
            let mut best = vec![None; outputs];
            shape.each(|channel, (place, _), pixel| {
                let best = &mut best[channel * positions + place];
                if best.is_none_or(|best: usize| x[pixel] > x[best]) {
                    *best = Some(pixel);
                }
            });
            for (at, pixel) in best.into_iter().enumerate() {
                assert_eq!(out[at], x[pixel.unwrap()]);
                back[pixel.unwrap()].add(d[at].wide());
            }
            continue;
        }
        shape.each(|channel, (place, k), pixel| {
            if convolution {
                for f in 0..filters {
                    let (at, its) = (f * positions + place, f * under + k);
                    sums[at].add(arrays[0][its].wide() * x[pixel].wide());
                    back[pixel].add(arrays[0][its].wide() * d[at].wide());
                    d_sums[0][its].add(d[at].wide() * x[pixel].wide());
                }
            } else {
                let (at, x, d) = (channel * positions + place, x[pixel].wide(), d[channel * positions + place].wide());
                sums[at].add(x / f64::from(pixels[at]));
                back[pixel].add(d / f64::from(pixels[at]));
            }
        });
        if convolution {
            for at in 0..outputs {
                sums[at].add(arrays[1][at / positions].wide());
                d_sums[1][at / positions].add(d[at].wide());
            }
        }
    }
    if name != "max_pooling" {
        sums.iter().zip(&out).for_each(|(sum, &found)| sum.expect(found, name));
    }
    back.iter().zip(&d_x).for_each(|(sum, &found)| sum.expect(found, "dx"));
    for (sums, found) in d_sums.iter().zip(&d_params) {
        sums.iter().zip(found).for_each(|(sum, &found)| sum.expect(found, "the gradient of a parameter"));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut case = Case::new(bytes);
    if case.is() {
        images::<f32>(&mut case);
    } else {
        images::<f64>(&mut case);
    }
});
