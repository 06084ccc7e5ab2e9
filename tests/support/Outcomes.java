import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.arrow.memory.RootAllocator;
import sie.reader.MessageException;
import sie.reader.Rows;

/**
 * What the reader makes of each message on standard input (its length in 4 bytes, then it), as JSON lines: its rows, or
 * why it was refused. Ends at whatever else is thrown and at memory that is not given back; the last line is the most
 * that was taken outside the heap.
 */
public final class Outcomes {
    public static void main(String[] arguments) throws IOException {
        ObjectMapper json = new ObjectMapper();
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        DataInputStream messages = new DataInputStream(System.in);
        try (RootAllocator allocator = new RootAllocator()) {
            for (int count = messages.readInt(); count > 0; count--) {
                byte[] message = messages.readNBytes(messages.readInt());
                try {
                    out.println(json.writeValueAsString(Map.of("rows", Rows.read(message, allocator))));
                } catch (MessageException refused) {
                    out.println(json.writeValueAsString(Map.of("refused", refused.getMessage())));
                }
                if (allocator.getAllocatedMemory() > 0) {
                    throw new IllegalStateException("memory is not given back");
                }
            }
            out.println(allocator.getPeakMemoryAllocation());
        }
        out.flush();
    }
}
