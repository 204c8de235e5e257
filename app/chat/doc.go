// Package chat has a model with adapters answer: it renders conversations in the template that the
// adapters were trained with, ends answers where the template does, hands text on as far as it is
// certain while an answer is made, and keeps a conversation within the model's context.
//
//	choice, err := chat.ChooseForm(w.Tok, given, placed, otherwise)
//	a, err := chat.New(chat.ModelOf(w, stack, placed), choice.Form, options)
//	talk := chat.NewConversation(a, seed)
//	turn, err := talk.Ask("Is it right to lie?")
//	err = turn.Answer(ctx, show)
//
// It may import the workspace, rl/data and the readers of input; it knows neither flags nor the
// terminal. Commands stand on it. What evaluates given texts is package score.
package chat
