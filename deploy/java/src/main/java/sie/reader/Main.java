package sie.reader;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints rows as JSON lines: {@code Main kafka BROKERS TOPIC [IDLE_SECONDS]}, newest statements from the topic's start
 * until no message came for so long; {@code Main files FILE...}, all rows of files that hold a message each.
 */
public final class Main {
    /** Events, some 150 MB of them. */
    private static final int REMEMBERED = 1_000_000;

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private Main() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 2 || (arguments[0].equals("kafka") && arguments.length < 3)) {
            System.err.println("usage: Main kafka BROKERS TOPIC [IDLE_SECONDS] | Main files FILE...");
            System.exit(2);
        }
        try (BufferAllocator allocator = new RootAllocator()) {
            if (arguments[0].equals("kafka")) {
                int idle = arguments.length > 3 ? Integer.parseInt(arguments[3]) : Integer.MAX_VALUE;
                follow(arguments[1], arguments[2], Duration.ofSeconds(idle), allocator);
            } else {
                for (String file : List.of(arguments).subList(1, arguments.length)) {
                    for (Map<String, Object> row : Rows.read(Files.readAllBytes(Path.of(file)), allocator)) {
                        print(row);
                    }
                }
            }
        }
        OUT.flush();
    }

    /** Reads all partitions without a group: where to go on after a restart is the caller's to keep. */
    private static void follow(String brokers, String topic, Duration idle, BufferAllocator allocator)
            throws IOException {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("isolation.level", "read_committed");
        Newest newest = new Newest(REMEMBERED);
        try (var consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(each -> new TopicPartition(topic, each.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long last = System.nanoTime();
            while (System.nanoTime() - last < idle.toNanos()) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    last = System.nanoTime();
                    handle(record, newest, allocator);
                }
                OUT.flush();
            }
        }
    }

    /** A message that cannot be read is passed over, and told: one of them must not stop a stream. */
    private static void handle(ConsumerRecord<byte[], byte[]> record, Newest newest, BufferAllocator allocator)
            throws JsonProcessingException {
        List<Map<String, Object>> rows = List.of();
        try {
            rows = Rows.read(record.value(), allocator);
        } catch (MessageException error) {
            System.err.printf(
                    "%s, partition %d, offset %d: %s%n",
                    record.topic(), record.partition(), record.offset(), error.getMessage());
        }
        for (Map<String, Object> row : rows) {
            var news = newest.admit(row);
            if (news.isPresent()) {
                print(news.get());
            }
        }
    }

    private static void print(Map<String, Object> row) throws JsonProcessingException {
        OUT.println(JSON.writeValueAsString(row));
    }
}
