// Spring AI with only its base URL changed; test_spring_ai.py starts modeld and this.
import java.util.List;
import java.util.stream.Collectors;
import org.springframework.ai.chat.messages.Message;
import org.springframework.ai.chat.model.ChatResponse;
import org.springframework.ai.chat.prompt.Prompt;
import org.springframework.ai.document.MetadataMode;
import org.springframework.ai.model.ModelOptionsUtils;
import org.springframework.ai.model.tool.ToolCallingManager;
import org.springframework.ai.openai.OpenAiChatModel;
import org.springframework.ai.openai.OpenAiChatOptions;
import org.springframework.ai.openai.OpenAiEmbeddingModel;
import org.springframework.ai.openai.OpenAiEmbeddingOptions;
import org.springframework.ai.openai.api.OpenAiApi;
import org.springframework.ai.openai.api.OpenAiApi.ChatCompletionRequest.ToolChoiceBuilder;
import org.springframework.ai.tool.function.FunctionToolCallback;

public class SpringAi {
    enum City { Paris, Rome }

    record Weather(City city, int days) {}

    static final OpenAiApi api = OpenAiApi.builder()
        .baseUrl(System.getenv("MODELD_URL")).apiKey("none").build();
    static final OpenAiChatModel chat = OpenAiChatModel.builder()
        .openAiApi(api).defaultOptions(options().build()).build();

    static OpenAiChatOptions.Builder options() {
        return OpenAiChatOptions.builder()
            .model(System.getenv("TOOLS_MODEL")).temperature(0.0).maxTokens(60);
    }

    static void check(boolean is, String what) {
        if (!is)
            throw new AssertionError(what);
    }

    static void chatAndStream() {
        String ask = "Count from one to ten.";
        ChatResponse whole = chat.call(new Prompt(ask));
        String text = whole.getResult().getOutput().getText();
        check(!text.isBlank(), "the answer is empty");
        check(whole.getMetadata().getUsage().getCompletionTokens() > 5, "no usage");
        List<String> pieces = chat.stream(ask).filter(p -> !p.isEmpty()).collectList().block();
        check(pieces.size() > 5, "pieces: " + pieces);
        // Not to the end: another batch may round otherwise.
        check(String.join("", pieces).startsWith(text.substring(0, 10)), "streamed: " + pieces);
    }

    static void tool() {
        var weather = FunctionToolCallback
            .builder("get_weather", (Weather w) -> w.days() + " days of sun in " + w.city())
            .description("Tells the weather in a city.").inputType(Weather.class).build();
        var prompt = new Prompt("How is the weather in Paris for 3 days?", options()
            .toolCallbacks(weather).toolChoice(ToolChoiceBuilder.function("get_weather"))
            .internalToolExecutionEnabled(false).build());
        ChatResponse asked = chat.call(prompt);
        var calls = asked.getResult().getOutput().getToolCalls();
        check(calls.size() == 1 && calls.get(0).name().equals("get_weather"), "calls: " + calls);
        Weather arguments =
            ModelOptionsUtils.jsonToObject(calls.get(0).arguments(), Weather.class);
        check(arguments.city() != null, "arguments: " + calls);

        var streamed = chat.stream(prompt).collectList().block().stream()
            .flatMap(r -> r.getResults().stream())
            .flatMap(g -> g.getOutput().getToolCalls().stream()).collect(Collectors.toList());
        check(streamed.size() == 1 && streamed.get(0).arguments().contains("\"days\""),
            "streamed: " + streamed);

        // Its result goes into the conversation, which the model continues.
        List<Message> history = ToolCallingManager.builder().build()
            .executeToolCalls(prompt, asked).conversationHistory();
        check(history.get(2).toString().contains("days of sun in"), "history: " + history);
        check(!chat.call(new Prompt(history)).getResult().getOutput().getText().isBlank(),
            "no answer to the result");
    }

    static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    static void embeddings() {
        var model = new OpenAiEmbeddingModel(api, MetadataMode.EMBED,
            OpenAiEmbeddingOptions.builder().model(System.getenv("EMBED_MODEL")).build());
        List<float[]> made = model.embed(List.of("A cat sits on the mat.",
            "A kitten rests on a rug.", "The stock market fell today."));
        check(made.get(0).length == 384, "dimensions: " + made.get(0).length);
        check(dot(made.get(0), made.get(1)) > 0.5, "cat and kitten");
        check(dot(made.get(0), made.get(2)) < 0.5, "cat and market");
    }

    public static void main(String[] args) {
        chatAndStream();
        tool();
        embeddings();
        System.out.println("ok: chat, stream, tool, embeddings");
        System.exit(0); // its HTTP client's threads go on
    }
}
