// Package constitution holds theories stated in words, which a model can judge by: the texts that come with
// steer, and those of users. The texts are our own, in plain words; each names its sources, which are not shown to the
// judge: Kant for deontology, Bentham and Mill for utilitarianism, Aristotle for virtue, what annotators were asked to
// look for by Bai et al. 2022 for harmlessness, and what the data set ETHICS (Hendrycks et al. 2021) asks under the
// same names.
//
// It imports nothing of this module.
package constitution
